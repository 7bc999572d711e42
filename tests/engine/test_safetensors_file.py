import struct
from pathlib import Path

import numpy as np
import pytest

from tercet_engine import CheckpointError, safetensors_file
from tercet_engine.safetensors_file import SafetensorsFile
from tests.oracle.make_tiny import bfloat16, save_tensors, with_header


def entry(start: int, end: int, shape: list[int], dtype: str = "U8") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def test_tensors_are_read_as_they_were_written(path: Path) -> None:
    tensors = {
        "codes": ("U8", np.arange(7, dtype=np.uint8)),
        "half": bfloat16(np.array([[1.0, -2.0]])),
        "single": ("F32", np.array([0.1], np.float32)),
        "empty": ("F32", np.zeros((0, 3), np.float32)),
        "scalar": ("F32", np.array(5, np.float32)),
    }
    save_tensors(path, tensors)
    file = SafetensorsFile(path)

    for name, (_, values) in tensors.items():
        np.testing.assert_array_equal(file.array(name), values, strict=True)


def test_a_tensor_can_be_read_again_after_its_pages_were_given_back(path: Path) -> None:
    values = np.arange(1 << 16, dtype=np.float32)
    save_tensors(path, {"a": ("F32", values)})
    file = SafetensorsFile(path)
    array = file.array("a")
    file.forget("a")

    np.testing.assert_array_equal(array, values)


def test_values_at_odd_addresses_are_copied_to_even_ones(path: Path) -> None:
    save_tensors(path, {"a": ("U8", np.zeros(1, np.uint8)), "b": bfloat16(np.array([3.0]))})

    assert SafetensorsFile(path).array("b").flags.aligned


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes"),
        (b"1234567", "has 7 bytes"),
        (struct.pack("<Q", 100) + b"{}", "announces a header of 100 bytes, but has 10"),
        (struct.pack("<Q", 2**63) + b"{}", "announces a header"),
        (struct.pack("<Q", 2) + b"[]", "damaged header"),
        (struct.pack("<Q", 2) + b"{x", "damaged header"),
        (struct.pack("<Q", 2) + b"\xff\xff", "damaged header"),
        (with_header({"a": 5}, b""), "damaged header"),
        (with_header({"a": {"dtype": "U8"}}, b""), "damaged header"),
        (with_header({"a": entry(0, 2, [3])}, b"12"), r"a is U8 \[3\], 3 bytes, but has 2"),
        (with_header({"a": entry(0, 2, [1])}, b"12"), r"a is U8 \[1\], 1 bytes, but has 2"),
        (with_header({"a": entry(0, 2, [-2])}, b"12"), "shape"),
        (with_header({"a": entry(0, 1, [True])}, b"1"), "shape"),
        (with_header({"a": entry(0, 2, [2.0])}, b"12"), "shape"),
        (with_header({"a": entry(0, 2, [2], "Q4")}, b"12"), "unknown type Q4"),
        (with_header({"a": entry(0, 2, [1] * 9)}, b"12"), "has 9 dimensions; at most 8 are read"),
        (with_header({"a": entry(2, 0, [0])}, b"12"), "damaged header"),
        (with_header({"a": entry(0, 4, [4])}, b"12"), "truncated: a ends at byte 4"),
        (with_header({"a": entry(0, 2, [2])}, b"123"), "has 1 bytes after its last tensor"),
        (
            with_header({"a": entry(0, 2, [2]), "b": entry(1, 3, [2])}, b"123"),
            "b overlaps the tensor before it",
        ),
        (
            with_header({"a": entry(0, 1, [1]), "b": entry(2, 3, [1])}, b"123"),
            "b follows a gap",
        ),
    ],
)
def test_a_damaged_file_is_refused_and_the_damage_named(
    path: Path, content: bytes, message: str
) -> None:
    path.write_bytes(content)

    with pytest.raises(CheckpointError, match=message):
        SafetensorsFile(path)


def test_a_name_that_appears_twice_is_refused(path: Path) -> None:
    one = '"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = f"{{{one},{one}}}".encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)

    with pytest.raises(CheckpointError, match="appears twice"):
        SafetensorsFile(path)


def test_every_beginning_of_a_file_is_refused(path: Path) -> None:
    save_tensors(path, {"a": ("U8", np.arange(5, dtype=np.uint8))})
    whole = path.read_bytes()

    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            SafetensorsFile(path)


def test_a_header_has_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = with_header({"a": entry(0, 1, [1])}, b"1")
    (num_bytes,) = struct.unpack("<Q", content[:8])
    path.write_bytes(content)
    monkeypatch.setattr(safetensors_file, "MAX_HEADER_BYTES", num_bytes)
    SafetensorsFile(path)

    monkeypatch.setattr(safetensors_file, "MAX_HEADER_BYTES", num_bytes - 1)
    with pytest.raises(CheckpointError, match=f"announces a header of {num_bytes} bytes"):
        SafetensorsFile(path)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        SafetensorsFile(path)
