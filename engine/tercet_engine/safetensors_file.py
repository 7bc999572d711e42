"""Reading of safetensors files, strict about everything the header says.

Each fault of a file is named, for a damaged download is the commonest of all.
"""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import CheckpointError
from tercet_engine.mapped_file import MappedFile

MAX_HEADER_BYTES: Final = 100_000_000  # as in the format's own library
MAX_DIMENSIONS: Final = 8

_ITEM_BYTES: Final = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
}
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "U8": np.dtype(np.uint8),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(np.uint16),  # the bits; NumPy has no bfloat16
    "F32": np.dtype(np.float32),
    "U32": np.dtype(np.uint32),
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies in its file, from the first byte after the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def num_bytes(self) -> int:
        """Its size."""
        return self.end - self.start


class SafetensorsFile:
    """One mapped file.

    Raises:
        CheckpointError: the file cannot be read or contradicts itself.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = MappedFile(path, 8, "a safetensors file")
        self._map, num_bytes = self._file.content, self._file.num_bytes
        (header_bytes,) = struct.unpack("<Q", self._map[:8])
        if header_bytes > min(MAX_HEADER_BYTES, num_bytes - 8):
            self._refuse(f"announces a header of {header_bytes} bytes, but has {num_bytes} in all")
        self._data_start = 8 + header_bytes
        self.tensors = self._read_header(self._map[8 : self._data_start])
        self._check_layout(num_bytes - self._data_start)

    def array(self, name: str) -> npt.NDArray[Any]:
        """View a tensor's values, read-only; bfloat16 as the uint16 of its bits."""
        info = self.tensors[name]
        if info.dtype not in _DTYPES:
            self._refuse(f"holds {name} as {info.dtype}; of {', '.join(_DTYPES)} one was expected")
        dtype = _DTYPES[info.dtype]
        count = math.prod(info.shape)
        start = self._data_start + info.start
        values: npt.NDArray[Any] = np.frombuffer(self._map, dtype, count, start)
        values.flags.writeable = False
        if not values.flags.aligned:
            values = values.copy()
        return values.reshape(info.shape)

    def bytes_of(self, name: str) -> memoryview:
        """View a tensor's bytes."""
        info = self.tensors[name]
        return memoryview(self._map)[self._data_start + info.start : self._data_start + info.end]

    def expect(self, name: str) -> None:
        """Tell the system that a tensor will be read soon."""
        info = self.tensors[name]
        self._file.expect(self._data_start + info.start, self._data_start + info.end)

    def forget(self, name: str) -> None:
        """Give a tensor's pages back to the system; they are read again if they are touched."""
        info = self.tensors[name]
        self._file.forget(self._data_start + info.start, self._data_start + info.end)

    def _refuse(self, what: str) -> None:
        message = f"{self.path} {what}"
        raise CheckpointError(message)

    def _read_header(self, header: bytes) -> dict[str, TensorInfo]:
        try:
            entries = json.loads(header, object_pairs_hook=_no_duplicates)
            if not isinstance(entries, dict):
                self._refuse(f"has a damaged header: it is a {type(entries).__name__}")
            entries.pop("__metadata__", None)
            return {name: _tensor_info(name, entry) for name, entry in entries.items()}
        except (ValueError, AttributeError, TypeError, KeyError, RecursionError) as error:
            message = f"{self.path} has a damaged header: {error}"
            raise CheckpointError(message) from error

    def _check_layout(self, num_data_bytes: int) -> None:
        """Tensors must fill the file: each begins where the one before ends."""
        end = 0
        for info in sorted(self.tensors.values(), key=lambda info: (info.start, info.end)):
            if info.end > num_data_bytes:
                self._refuse(
                    f"is truncated: {info.name} ends at byte {info.end} of the data, "
                    f"of which there are {num_data_bytes}; download it again"
                )
            if info.start != end:
                fault = "overlaps the tensor before it" if info.start < end else "follows a gap"
                self._refuse(f"has a damaged header: {info.name} {fault}")
            end = info.end
        if end != num_data_bytes:
            self._refuse(f"has {num_data_bytes - end} bytes after its last tensor")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        message = "a name appears twice"
        raise ValueError(message)
    return names


def _tensor_info(name: str, entry: object) -> TensorInfo:
    if not isinstance(entry, dict):
        message = f"{name} is described by {entry!r}"
        raise ValueError(message)  # noqa: TRY004 -- the file is wrong, not the call
    dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if len(shape) > MAX_DIMENSIONS:
        message = f"{name} has {len(shape)} dimensions; at most {MAX_DIMENSIONS} are read"
        raise ValueError(message)
    numbers = [*shape, start, end]
    if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
        message = f"{name} has the shape {shape} and the offsets {start}, {end}"
        raise ValueError(message)
    if dtype not in _ITEM_BYTES:
        message = f"{name} is of the unknown type {dtype}"
        raise ValueError(message)
    expected = math.prod(shape) * _ITEM_BYTES[dtype]
    if end - start != expected:
        message = f"{name} is {dtype} {shape}, {expected} bytes, but has {end - start}"
        raise ValueError(message)
    return TensorInfo(name, dtype, tuple(shape), start, end)
