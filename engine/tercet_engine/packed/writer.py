"""A safetensors file, written tensor by tensor: large ones never wait in memory.

Room for the header is left at the beginning, for where tensors end is known at the end; what is not
needed of it is filled with spaces, as the format allows. Tensors follow each other without gaps, so
those whose sizes are multiples of 64 bytes are to be written first: they then begin at one.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_PAGE: Final = 4096
_BYTES_OF_AN_ENTRY: Final = 192


class SafetensorsWriter:
    """One file. `close` writes the header; without it the file is none.

    Args:
        path: of a file that is not there yet.
        max_tensors: how many there will be at most.
    """

    def __init__(self, path: Path, max_tensors: int) -> None:
        self.checksums: dict[str, int] = {}
        self._entries: dict[str, dict[str, Any]] = {}
        self._start = -(-(8 + _BYTES_OF_AN_ENTRY * (max_tensors + 1)) // _PAGE) * _PAGE
        self._end = 0
        self._file = path.open("xb")
        self._file.seek(self._start)

    def add(
        self, name: str, dtype: str, shape: tuple[int, ...], pieces: Iterable[npt.NDArray[Any]]
    ) -> None:
        """Write a tensor, its bytes in as many pieces as they come in."""
        begin, checksum = self._end, 0
        for piece in pieces:
            content = piece.reshape(-1).view(np.uint8).data
            checksum = zlib.crc32(content, checksum)
            self._file.write(content)
            self._end += content.nbytes
        offsets = [begin, self._end]
        self._entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": offsets}
        self.checksums[name] = checksum

    def close(self) -> None:
        """Write the header, and wait until the disk has everything."""
        header = json.dumps(self._entries, separators=(",", ":")).encode()
        room = self._start - 8
        assert len(header) <= room, "more tensors than were announced"
        self._file.seek(0)
        self._file.write(struct.pack("<Q", room) + header.ljust(room))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is."""
        self._file.close()
