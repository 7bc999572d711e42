"""Hostile GGUF files, and whether the harness that fuzzes them would notice."""

import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.gguf import GgufFile
from tests.fuzz.gguf_cases import DAMAGES, LIES, hostile_file, valid_files
from tests.fuzz.target import Finding
from tests.fuzz.targets import gguf as harness
from tests.oracle.gguf_models import open_file
from tests.oracle.gguf_writer import GgufWriter, Kind, Tensor, Typed

scalars = st.one_of(
    st.text(max_size=9),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.integers(-(2**63), 2**63 - 1).map(lambda number: Typed(Kind.I64, number)),
    st.floats(allow_nan=False).map(lambda number: Typed(Kind.F64, number)),
    st.lists(st.text(max_size=5), max_size=5).map(lambda texts: Typed(Kind.STRING, texts)),
    st.lists(st.integers(0, 255), max_size=9).map(lambda items: Typed(Kind.U8, items)),
)
keys = st.text(min_size=1, max_size=8).map("k.{}".format)
floats = st.lists(st.integers(1, 5), min_size=1, max_size=4).flatmap(
    lambda shape: st.binary(min_size=4 * _product(shape), max_size=4 * _product(shape)).map(
        lambda content: Tensor(0, shape, content)
    )
)


def _product(shape: list[int]) -> int:
    result = 1
    for size in shape:
        result *= size
    return result


def test_hostile_files_are_read_in_full_or_refused_in_words() -> None:
    outcomes = Counter(harness.run(hostile_file(random.Random(f"0/{n}"))) for n in range(2000))

    assert outcomes["read"] > 20
    assert outcomes["read with its tokenizer"] > 20
    assert outcomes["refused as CheckpointError"] > 200
    assert outcomes["refused as UnsupportedModel"] > 50


def test_a_case_is_made_from_its_number_alone() -> None:
    assert hostile_file(random.Random("1/7")) == hostile_file(random.Random("1/7"))
    assert hostile_file(random.Random("1/7")) != hostile_file(random.Random("1/8"))


def test_every_damage_and_every_lie_changes_some_file() -> None:
    for damage in DAMAGES:
        whole = valid_files()[0].to_bytes()
        damaged = [bytearray(whole) for _ in range(20)]
        for seed, content in enumerate(damaged):
            damage(content, random.Random(seed), 1000)
        assert any(content != whole for content in damaged), damage.__name__
    for lie in LIES:
        assert any(
            lie(writer, random.Random(seed)).to_bytes() != writer.to_bytes()
            for writer in valid_files()
            for seed in range(5)
        ), lie.__name__


def test_the_harness_notices_memory_that_a_file_cannot_account_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = GgufFile.from_bytes

    def waste(content: bytes, path: Path) -> GgufFile:
        assert len(bytearray(harness.ALLOWED_BYTES + 33 * len(content))) > 0
        return read(content, path)

    monkeypatch.setattr(harness.GgufFile, "from_bytes", waste)
    with pytest.raises(Finding, match="bytes for a file of"):
        harness.open_traced(valid_files()[0].to_bytes())

    assert not tracemalloc.is_tracing()


@given(st.dictionaries(keys, scalars, max_size=6), st.dictionaries(keys, floats, max_size=4))
def test_whatever_is_written_is_read(values: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    file = open_file(GgufWriter(values, tensors))

    assert list(file.metadata) == list(values)
    for key, written in values.items():
        expected = written.value if isinstance(written, Typed) else written
        value = file.metadata[key]
        assert (list(value) if isinstance(expected, list) else value) == expected
    for name, tensor in tensors.items():
        assert file.bytes_of(name) == tensor.content
        assert file.tensors[name].shape == tuple(tensor.shape)


@settings(max_examples=500)
@given(st.data())
def test_bytes_written_over_a_file_are_noticed_or_harmless(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(valid_files())).to_bytes())
    place = data.draw(st.integers(0, len(content)))
    new = data.draw(st.binary(min_size=1, max_size=16))
    content[place : place + data.draw(st.sampled_from([0, len(new)]))] = new
    try:
        file = GgufFile.from_bytes(bytes(content), Path("hostile.gguf"))
    except (CheckpointError, UnsupportedModel) as error:
        harness.check_message(error)
    else:
        harness.read_tensors(file, bytes(content))


@given(st.binary(max_size=200))
def test_any_bytes_after_the_magic_are_refused_or_read(content: bytes) -> None:
    for version in (b"\2\0\0\0", b"\3\0\0\0"):
        try:
            GgufFile.from_bytes(b"GGUF" + version + content, Path("hostile.gguf"))
        except (CheckpointError, UnsupportedModel) as error:
            harness.check_message(error)
