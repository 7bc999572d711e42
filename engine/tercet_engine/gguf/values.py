"""The values of a GGUF file's keys: scalars, strings, and arrays of either or of arrays."""

import struct
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tercet_engine.gguf.cursor import Cursor
from tercet_engine.gguf.strings import MAX_STRING_BYTES, StringArray

Value = Any
"""`int`, `float`, `bool`, `str`, an array of numbers, a `StringArray`, or a list of arrays."""

MAX_STRINGS: Final = 1 << 24
MAX_NESTED_ARRAYS: Final = 1 << 16
MAX_DEPTH: Final = 4
_FORMS: Final = dict(zip((0, 1, 2, 3, 4, 5, 6, 10, 11, 12), "BbHhIifQqd", strict=True))
_SCALARS: Final = {kind: struct.Struct(f"<{form}") for kind, form in _FORMS.items()}
_DTYPES: Final = {kind: np.dtype(f"<{form}") for kind, form in _FORMS.items()}


class ValueReader:
    """Reads values of one file and counts what it has read."""

    def __init__(self, cursor: Cursor, path: Path) -> None:
        self._cursor = cursor
        self._path = path
        self._num_strings_left = MAX_STRINGS
        self._num_arrays_left = MAX_NESTED_ARRAYS

    def read(self, key: str) -> Value:
        """Read the value that follows a key: its kind, then itself."""
        kind = self._cursor.uint32(f"the kind of {key}")
        if kind in _SCALARS:
            return self._cursor.unpack(_SCALARS[kind], key)
        match kind:
            case 7:
                return bool(self._flags(1, key)[0])
            case 8:
                return self._cursor.text(MAX_STRING_BYTES, key)
            case 9:
                return self._array(key, 1)
            case _:
                return self._cursor.refuse(f"is damaged: {key} is of the unknown kind {kind}")

    def _array(self, key: str, depth: int) -> Value:
        kind = self._cursor.uint32(f"the kind of {key}")
        if kind in _DTYPES:
            return self._numbers(_DTYPES[kind], key)
        match kind:
            case 7:
                return self._flags(self._cursor.count(1 << 62, 1, f"values of {key}"), key)
            case 8:
                count = self._cursor.count(self._num_strings_left, 8, f"strings in {key}")
                self._num_strings_left -= count
                return StringArray(self._cursor, count, key, self._path)
            case 9 if depth < MAX_DEPTH:
                count = self._cursor.count(self._num_arrays_left, 12, f"arrays in {key}")
                self._num_arrays_left -= count
                return [self._array(key, depth + 1) for _ in range(count)]
            case 9:
                return self._cursor.refuse(f"nests arrays in {key} deeper than {MAX_DEPTH}")
            case _:
                return self._cursor.refuse(f"is damaged: {key} holds the unknown kind {kind}")

    def _numbers(self, dtype: np.dtype[Any], key: str) -> npt.NDArray[Any]:
        cursor = self._cursor
        count = cursor.count(1 << 62, dtype.itemsize, f"values of {key}")
        start = cursor.skip(count * dtype.itemsize, key)
        return _read_only(np.frombuffer(cursor.content, dtype, count, start))

    def _flags(self, count: int, key: str) -> npt.NDArray[np.bool_]:
        start = self._cursor.skip(count, key)
        flags = np.frombuffer(self._cursor.content, np.uint8, count, start)
        if count and flags.max() > 1:
            self._cursor.refuse(f"is damaged: {key} holds {flags.max()} for true or false")
        return _read_only(flags.view(np.bool_))


def _read_only(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values.flags.writeable = False
    return values
