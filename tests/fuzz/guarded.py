"""Bytes that end where memory does: whoever reads one too many dies of it, and is noticed."""

import ctypes
import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

_PROT_NONE = 0


class GuardedBytes:
    """Room for some bytes, with a page behind that nobody may touch.

    Args:
        num_bytes: the most that are ever asked for.
    """

    def __init__(self, num_bytes: int) -> None:
        self._size = -(-num_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._size + mmap.PAGESIZE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        page = ctypes.c_void_p(address + self._size)
        libc: Any = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(page, mmap.PAGESIZE, _PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    def holding(self, content: bytes) -> npt.NDArray[np.uint8]:
        """The content, with nothing behind; it is gone with the next call."""
        start = self._size - len(content)
        self._map[start : self._size] = content
        return np.frombuffer(self._map, np.uint8, len(content), start)
