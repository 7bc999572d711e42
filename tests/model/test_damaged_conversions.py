"""Converted folders that are not what they say: refused in words, with what is wrong."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tercet_engine import EMBEDDED_MODEL, EngineConfig, _core
from tercet_engine.errors import CheckpointError, LoadError, UnsupportedModel
from tercet_engine.model_loader import load_model
from tercet_engine.opened_model import open_checkpoint
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.convert import convert_model
from tercet_engine.packed.writer import SafetensorsWriter
from tercet_engine.progress import Silent

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "packed"
    convert_model(EMBEDDED_MODEL, folder, name="tiny", progress=Silent(), num_threads=1)
    return folder


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "packed"))


def change_config(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config["tercet"])
    path.write_text(json.dumps(config))


def change_tensors(folder: Path, change: Callable[[Tensors], None]) -> None:
    path = folder / "model.safetensors"
    content = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    tensors: Tensors = {}
    for name, entry in json.loads(content[8 : 8 + header_bytes]).items():
        begin, end = (8 + header_bytes + place for place in entry["data_offsets"])
        tensors[name] = (entry["dtype"], tuple(entry["shape"]), content[begin:end])
    change(tensors)
    path.unlink()
    writer = SafetensorsWriter(path, len(tensors))
    for name, (dtype, shape, values) in tensors.items():
        writer.add(name, dtype, shape, [np.frombuffer(values, np.uint8)])
    writer.close()


def refusal(folder: Path, error: type[LoadError] = CheckpointError, **settings: Any) -> str:
    with pytest.raises(error) as raised:
        load_model(
            open_checkpoint(folder), EngineConfig(**{"num_threads": 1, **settings}), Silent()
        ).runner.close()
    return str(raised.value)


def add_outliers(tensors: Tensors, places: list[list[int]], values: list[float]) -> None:
    at, what = np.array(places, np.uint32), np.array(values, np.float32)
    tensors["layers.1.o.outlier_places"] = ("U32", at.shape, at.tobytes())
    tensors["layers.1.o.outlier_values"] = ("F32", what.shape, what.tobytes())


def add_checksums_of_outliers(section: dict[str, Any]) -> None:
    for name in ("layers.1.o.outlier_places", "layers.1.o.outlier_values"):
        section["checksums"][name] = 0


def set_shape(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda section: section["shape"].update(values)


def test_another_version_of_the_format_is_refused_with_the_way_out(folder: Path) -> None:
    change_config(folder, lambda section: section.update(format=2))

    words = refusal(folder, UnsupportedModel)
    assert "converted to format 2" in words
    assert "reads format 1. Convert tiny again" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda section: section.pop("format"), "format is missing"),
        (lambda section: section.pop("shape"), "num_layers is missing"),
        (set_shape(num_layers=0), "num_layers must be an integer from 1"),
        (set_shape(num_layers=1 << 40), "num_layers must be an integer from 1"),
        (set_shape(num_layers=1024), "layers.5.qkv.tiles is missing"),
        (set_shape(head_dim=(1 << 31) - 1), "head_dim must be an integer from 1 to 1024"),
        (set_shape(num_layers=4), "the tensor layers.4.down.row_scales is not known"),
        (set_shape(num_layers=True), "num_layers must be an integer"),
        (set_shape(activation="gelu"), "activation must be one of relu2, silu"),
        (set_shape(rms_norm_eps="small"), "rms_norm_eps must be a number"),
        (set_shape(rms_norm_eps=float("nan")), "rms_norm_eps must be a number"),
        (set_shape(has_sub_norms=1), "has_sub_norms must be true or false"),
        (set_shape(biases="q"), "biases must be a list"),
        (set_shape(biases=["w"]), "biases must be some of q, k"),
        (set_shape(wheels=4), "wheels is not known"),
        (set_shape(rope={"scaling": "yarn"}), "rope must be angles"),
        (
            set_shape(rope={"scaling": "longrope", "long_factors": [1.0, 2.0]}),
            "rope must be angles",
        ),
        (set_shape(rope={"theta": 0}), "rope must be angles"),
        (set_shape(rope={"scaling": "spiral"}), "scaling must be one of none, linear"),
        (set_shape(vocab_size=4095), "head.screen_scales should be F32 [4095]"),
        (set_shape(hidden_size=512), "layers.0.qkv.tiles should be U8"),
        (set_shape(weight_group=128), "layers.0.qkv.tiles should be U8"),
        (lambda section: section["layouts"].pop("embedding"), "embedding is missing"),
        (lambda section: section["layouts"].update(embedding="q2_k"), "no layout is called"),
        (lambda section: section["layouts"].update(embedding="f32"), "there are 3145728"),
        (lambda section: section["facts"].update(x="y"), "x must be a number"),
        (lambda section: section["checksums"].pop("norm"), "the checksum of norm is missing"),
    ],
)
def test_a_damaged_config_is_refused(
    folder: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    change_config(folder, change)

    assert words in refusal(folder)


@pytest.mark.parametrize(
    "name",
    ["layers.3.gate_up.tiles", "layers.0.o.row_scales", "head.high", "head.margins", "embedding"],
)
def test_a_tensor_that_is_missing_is_named(folder: Path, name: str) -> None:
    change_tensors(folder, lambda tensors: tensors.pop(name) and None)

    assert f"the tensor {name} is missing" in refusal(folder)


@pytest.mark.parametrize(
    ("name", "missing"), [("layers.3.down.tiles", 64), ("layers.3.down.row_scales", 4)]
)
def test_a_tensor_of_a_wrong_size_is_named(folder: Path, name: str, missing: int) -> None:
    def shorten(tensors: Tensors) -> None:
        dtype, (size,), values = tensors[name]
        size -= missing if dtype == "U8" else missing // 4
        tensors[name] = (dtype, (size,), values[:-missing])

    change_tensors(folder, shorten)

    assert f"{name} should be" in refusal(folder)


def test_a_tensor_that_nobody_asks_for_is_refused(folder: Path) -> None:
    change_tensors(folder, lambda tensors: tensors.update(extra=("U8", (2,), b"ab")))

    assert "the tensor extra is not known" in refusal(folder)


def test_a_file_that_was_cut_is_refused(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])

    assert "is truncated" in refusal(folder)


def test_tiles_that_do_not_begin_at_a_multiple_of_64_bytes_are_refused(folder: Path) -> None:
    kernels = _core.supported_kernels()[0]
    if _core.tiles_packing(kernels, grouped=False) is None:
        pytest.skip("the reference does not use tiles where they are")

    def put_first(tensors: Tensors) -> None:
        others = dict(tensors)
        tensors.clear()
        for name in [name for name in others if name.startswith("head")]:
            tensors[name] = others.pop(name)
        add_outliers(tensors, [[0, 0]], [1.0])
        tensors.update(others)

    change_tensors(folder, put_first)
    change_config(folder, add_checksums_of_outliers)

    assert "its tiles do not begin at a multiple of 64 bytes" in refusal(folder, packing="mapped")
    load_model(open_checkpoint(folder), EngineConfig(num_threads=1), Silent()).runner.close()


@pytest.mark.parametrize("name", ["norm", "layers.2.norm.attention"])
def test_a_norm_that_is_not_finite_is_refused(folder: Path, name: str) -> None:
    def spoil(tensors: Tensors) -> None:
        dtype, shape, values = tensors[name]
        tensors[name] = (dtype, shape, np.float32("nan").tobytes() + values[4:])

    change_tensors(folder, spoil)

    assert f"{name} holds values that are not finite" in refusal(folder)


@pytest.mark.parametrize("name", ["layers.2.gate_up.row_scales", "head.row_scales"])
def test_a_scale_that_is_not_finite_is_refused(folder: Path, name: str) -> None:
    def spoil(tensors: Tensors) -> None:
        dtype, shape, values = tensors[name]
        tensors[name] = (dtype, shape, np.float32("inf").tobytes() + values[4:])

    change_tensors(folder, spoil)

    words = refusal(folder)
    assert {"head": "head", "layers": "layer 2: matrix gate_up"}[name.partition(".")[0]] in words
    assert "not finite" in words


@pytest.mark.parametrize(
    ("places", "values", "words"),
    [
        ([[0, 1 << 20]], [1.0], "outlier 0 is not in the matrix"),
        ([[1 << 20, 0]], [1.0], "outlier 0 is not in the matrix"),
        ([[3, 4], [3, 4]], [1.0, 1.0], "outlier 1 is out of order"),
        ([[3, 4]], [float("nan")], "outlier 0 is not in the matrix"),
        ([[3, 4], [3, 5]], [1.0], "layers.1.o.outlier_values should be F32 [2]"),
    ],
)
def test_outliers_that_are_in_no_matrix_are_refused(
    folder: Path, places: list[list[int]], values: list[float], words: str
) -> None:
    change_tensors(folder, lambda tensors: add_outliers(tensors, places, values))
    change_config(folder, add_checksums_of_outliers)

    assert words in refusal(folder)


def test_a_changed_byte_is_found_by_its_checksum_and_by_packing_anew(folder: Path) -> None:
    def spoil(tensors: Tensors) -> None:
        dtype, shape, values = tensors["layers.1.o.tiles"]
        tensors["layers.1.o.tiles"] = (dtype, shape, b"\xff" + values[1:])

    change_tensors(folder, spoil)

    assert PackedCheckpoint(folder).damaged_tensors() == ["layers.1.o.tiles"]
    words = refusal(folder, kernels="reference")
    assert "layer 1: matrix o: row 0, column 0 holds code 3" in words


def test_an_undamaged_folder_has_no_damaged_tensors(folder: Path) -> None:
    assert PackedCheckpoint(folder).damaged_tensors() == []
