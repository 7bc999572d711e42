"""What a child tells its parent while it works, in memory that outlives the child.

The input at hand is written here before it is run, so whoever dies of it leaves it behind.
"""

import mmap
import struct
from pathlib import Path

_HEAD = struct.Struct("<QQ")  # executions begun, bytes of the input at hand
_BYTES = 4 << 20


class Board:
    """A small file that both have mapped."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_BYTES))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _BYTES)

    @property
    def num_begun(self) -> int:
        """How many executions have begun."""
        begun: int = _HEAD.unpack_from(self._map)[0]
        return begun

    @property
    def input(self) -> bytes:
        """What is being run."""
        _, num_bytes = _HEAD.unpack_from(self._map)
        return self._map[_HEAD.size : _HEAD.size + num_bytes]

    def begin(self, number: int, data: bytes) -> None:
        """Tell that an execution begins."""
        kept = data[: _BYTES - _HEAD.size]
        self._map[_HEAD.size : _HEAD.size + len(kept)] = kept
        _HEAD.pack_into(self._map, 0, number, len(kept))
