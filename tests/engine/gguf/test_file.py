from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet_engine import CheckpointError, UnsupportedModel, mapped_file
from tercet_engine.gguf import GgufFile
from tests.oracle.gguf_models import every_kind, every_type, open_file, tensor
from tests.oracle.gguf_writer import GgufWriter, Typed

WRITER = GgufWriter({"general.architecture": "llama", **every_kind()}, every_type())


def plain(value: Any) -> Any:
    """A value as Python's own lists and scalars."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("version", [2, 3])
def test_values_of_every_kind_are_read_as_they_were_written(version: int) -> None:
    file = open_file(GgufWriter(every_kind(), version=version))

    for key, written in every_kind().items():
        value = file.metadata[key]
        expected = written.value if isinstance(written, Typed) else written
        if key == "nested":
            value, expected = [plain(value[0]), list(value[1]), plain(value[2])], expected[:3]
        elif isinstance(expected, list):
            value = plain(value) if isinstance(value, np.ndarray) else list(value)
        assert value == expected, key
        assert type(value) is type(expected), key


def test_tensors_of_every_type_are_read_as_they_were_written() -> None:
    file = open_file(WRITER)

    assert list(file.tensors) == list(WRITER.tensors)
    for name, written in WRITER.tensors.items():
        assert file.bytes_of(name) == written.content
        assert file.array(name).tobytes() == written.content
        assert file.tensors[name].shape == tuple(written.shape)
        assert file.tensors[name].type_id == written.type_id


def test_a_file_on_disk_is_read_like_one_in_memory(path: Path) -> None:
    path.write_bytes(WRITER.to_bytes())
    file = GgufFile(path)

    assert file.tensors == open_file(WRITER).tensors
    assert file.metadata["string"] == "grün"
    assert file.bytes_of("blk.36.weight") == WRITER.tensors["blk.36.weight"].content


def test_a_mapped_tensor_can_be_read_again_after_its_pages_were_given_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapped_file, "MAX_COPIED_BYTES", 0)
    written = tensor(0, 64, 1024)
    path.write_bytes(GgufWriter({}, {"a": written}).to_bytes())
    file = GgufFile(path)
    array = file.array("a")
    file.forget("a")

    assert array.tobytes() == written.content


def test_views_cannot_be_written_to() -> None:
    file = open_file(WRITER)

    assert file.bytes_of("blk.0.weight").readonly
    assert not file.array("blk.0.weight").flags.writeable
    assert not file.metadata["f32s"].flags.writeable


def test_a_file_may_hold_keys_alone() -> None:
    assert open_file(GgufWriter({"general.architecture": "llama"})).tensors == {}


def test_one_of_several_files_is_refused_with_the_way_out() -> None:
    with pytest.raises(UnsupportedModel, match=r"one of 3 files of a model; merge them"):
        open_file(GgufWriter({"split.count": 3}))


def test_a_file_that_was_split_into_one_is_read() -> None:
    assert open_file(GgufWriter({"split.count": 1})).tensors == {}


def test_every_beginning_of_a_file_is_refused() -> None:
    tensors = {"a": tensor(36, 2, 128), "b": tensor(8, 1, 32)}
    writer = GgufWriter({"k": ["x", "y"], "n": [1, 2], "s": "z"}, tensors, pads_last=False)
    whole = writer.to_bytes()

    open_file(writer)
    for length in range(len(whole)):
        with pytest.raises(CheckpointError, match=r"^model\.gguf"):
            GgufFile.from_bytes(whole[:length], Path("model.gguf"))


def test_a_file_too_short_to_be_one_is_refused(path: Path) -> None:
    path.write_bytes(b"GGUF")

    with pytest.raises(CheckpointError, match="has 4 bytes; a GGUF file has at least 24"):
        GgufFile(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.gguf cannot be read"):
        GgufFile(path)
