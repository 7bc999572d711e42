import struct
from pathlib import Path
from typing import Any

import pytest

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.gguf import GgufFile
from tercet_engine.gguf.header import read_header
from tests.oracle.gguf_models import open_file, tensor
from tests.oracle.gguf_writer import GgufWriter, Kind, Typed, string

PATH = Path("model.gguf")


def header(rest: bytes = b"", num_tensors: int = 0, num_keys: int = 0, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_keys) + rest


def value(kind: int, rest: bytes = b"") -> bytes:
    """A file of one key, k."""
    return header(string("k") + struct.pack("<I", kind) + rest, num_keys=1)


def array(kind: int, count: int, rest: bytes = b"") -> bytes:
    return value(9, struct.pack("<IQ", kind, count) + rest)


def entry(name: str, *sizes: int, type_id: int = 0, offset: int = 0) -> bytes:
    shape = struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)
    return string(name) + shape + struct.pack("<IQ", type_id, offset)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<!DOCTYPE html>" + bytes(20), "is not a GGUF file: it begins with b'<!DO'"),
        (header(num_tensors=65_537), "announces 65537 tensors; at most 65536 are read"),
        (header(num_tensors=2**64 - 1), "announces 18446744073709551615 tensors"),
        (header(num_tensors=100), "announces 100 tensors, and there are 8 bytes left"),
        (header(num_keys=65_537), "announces 65537 keys; at most 65536"),
        (header(num_keys=9), "announces 9 keys, and there are 0 bytes left"),
        (header(string("") + bytes(10), num_keys=1), "a key has no name"),
        (header(string(b"\xff") + bytes(10), num_keys=1), "a key is not UTF-8"),
        (header(struct.pack("<Q", 2**63) + bytes(9), num_keys=1), "a key of 9223372036854775808"),
        (header(struct.pack("<Q", 50) + bytes(9), num_keys=1), "a key takes 50 bytes"),
        (header((string("k") + struct.pack("<IB", 0, 1)) * 2 + bytes(9), 0, 2), "gives k twice"),
        (value(13, b"1234"), "k is of the unknown kind 13"),
        (value(7, b"\2"), "k holds 2 for true or false"),
        (value(10, b"1234567"), "k takes 8 bytes, and there are 7 left"),
        (value(8, struct.pack("<Q", 64_000_001)), "k of 64000001 bytes; at most 64000000"),
        (value(8, string(b"\xc3")), "k is not UTF-8"),
        (array(14, 1), "k holds the unknown kind 14"),
        (array(0, 2**64 - 1, b"1"), "announces 18446744073709551615 values of k; at most"),
        (array(12, 3, bytes(23)), "announces 3 values of k, and there are 23 bytes left"),
        (array(7, 2, b"\1\7"), "k holds 7 for true or false"),
        (array(8, 2**24 + 1), "announces 16777217 strings in k; at most 16777216"),
        (array(8, 2, bytes(15)), "announces 2 strings in k, and there are 15 bytes left"),
        (array(8, 2, string("a") + bytes(7)), "string 1 of k is missing"),
        (array(8, 2, struct.pack("<QQ", 2**64 - 1, 0)), "string 0 of k has 18446744073709551615"),
        (array(9, 65_537), "announces 65537 arrays in k; at most 65536"),
        (header(entry("", 4) + bytes(99), 1), "a tensor has no name"),
        (header(entry("a") + bytes(99), 1), "gives a 0 dimensions; 1 to 4 are read"),
        (header(entry("a", 1, 1, 1, 1, 1) + bytes(99), 1), "gives a 5 dimensions; 1 to 4"),
        (header(entry("a", 4, 0) + bytes(99), 1), r"a has the shape \[4, 0\]"),
        (header(entry("a", 2**31, 2**31) + bytes(99), 1), "a has the shape"),
        (header(entry("a", 2**63, 2) + bytes(99), 1), "a has the shape"),
        (header(entry("a", 8) * 2 + bytes(99), 2), "describes a twice"),
        (header(entry("x" * 1025, 8) + bytes(99), 1), "a tensor's name of 1025 bytes; at most"),
    ],
)
def test_a_damaged_header_is_refused_and_the_damage_named(content: bytes, message: str) -> None:
    with pytest.raises(CheckpointError, match=rf"^model\.gguf.*{message}"):
        GgufFile.from_bytes(content, PATH)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (1, "is GGUF of version 1; versions 2 and 3 are read"),
        (4, "is GGUF of version 4"),
        (0, "is GGUF of version 0"),
        (3 << 24, "is big-endian"),
    ],
)
def test_another_version_is_refused(version: int, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        open_file(GgufWriter(version=version))


@pytest.mark.parametrize("depth", [1, 4, 5, 50_000])
def test_arrays_are_nested_to_a_depth_of_four(depth: int) -> None:
    array_of_array = struct.pack("<IQ", 9, 1) * (depth - 1) + struct.pack("<IQ", 0, 1)
    content = value(9, array_of_array + b"\5")

    if depth <= 4:
        assert GgufFile.from_bytes(content, PATH).metadata.keys() == {"k"}
    else:
        with pytest.raises(CheckpointError, match="nests arrays in k deeper than 4"):
            GgufFile.from_bytes(content, PATH)


def test_the_arrays_of_a_whole_file_are_bounded() -> None:
    empty = Typed(Kind.ARRAY, [[]] * 33_000)

    with pytest.raises(CheckpointError, match="announces 33000 arrays in b; at most 32536"):
        open_file(GgufWriter({"a": empty, "b": empty}))


@pytest.mark.parametrize("alignment", [8, 64, 65_536])
def test_tensors_lie_as_the_file_aligns_them(alignment: int) -> None:
    tensors = {"a": tensor(0, 1, 3), "b": tensor(0, 1, 5)}
    file = open_file(GgufWriter({"general.alignment": alignment}, tensors, alignment=alignment))

    assert file.bytes_of("b") == tensors["b"].content
    assert file.tensors["b"].offset % alignment == 0


@pytest.mark.parametrize("alignment", [0, 4, 48, 131_072, True, "32", [32]])
def test_an_alignment_that_is_none_is_refused(alignment: Any) -> None:
    with pytest.raises(CheckpointError, match=r"has general\.alignment .* powers of two"):
        open_file(GgufWriter({"general.alignment": alignment}))


def test_the_header_of_a_large_vocabulary_takes_no_memory_for_its_strings() -> None:
    content = GgufWriter({"tokens": ["token"] * 20_000}).to_bytes()
    tokens = read_header(content, len(content), PATH).metadata["tokens"]

    assert len(tokens) == 20_000
    assert tokens._strings is None


def test_names_cannot_write_to_the_terminal() -> None:
    with pytest.raises(CheckpointError) as caught:
        GgufFile.from_bytes(header(entry("\x1b[2J", 4, 0) + bytes(99), 1), PATH)

    assert "\x1b" not in str(caught.value)
    assert r"\x1b[2J" in str(caught.value)
