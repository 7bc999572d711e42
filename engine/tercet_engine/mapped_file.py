"""A file of weights in memory: a large one mapped, a small one read.

A large file is mapped, never read whole: a tensor's pages come in when it is packed and are given
back right after. What is mapped must not change while it is served (replace a file by renaming
another to its name). A small file is read once and is then free.
"""

import mmap
import os
from pathlib import Path
from typing import Final

from tercet_engine.errors import CheckpointError

MAX_COPIED_BYTES: Final = 64 << 20
"""Files up to this size are read; larger ones are mapped."""


class MappedFile:
    """The bytes of one file.

    Args:
        path: of the file.
        least_bytes: a shorter file cannot be of this kind; at least 1.
        kind: what the file should be, for the message that says it is too short.

    Raises:
        CheckpointError: it cannot be read, or is too short.
    """

    def __init__(self, path: Path, least_bytes: int, kind: str) -> None:
        try:
            with path.open("rb") as file:
                self.num_bytes = os.fstat(file.fileno()).st_size
                if self.num_bytes < least_bytes:
                    message = (
                        f"{path} has {self.num_bytes} bytes; {kind} has at least {least_bytes}"
                    )
                    raise CheckpointError(message)
                self._is_copy = self.num_bytes <= MAX_COPIED_BYTES
                if self._is_copy:
                    self.content = mmap.mmap(-1, self.num_bytes)
                    self.num_bytes = file.readinto(self.content)
                else:
                    self.content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}"
            raise CheckpointError(message) from error

    def expect(self, start: int, end: int) -> None:
        """Tell the system that a range will be read soon, so that it reads ahead."""
        start = start // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end and not self._is_copy and hasattr(mmap, "MADV_WILLNEED"):
            self.content.madvise(mmap.MADV_WILLNEED, start, end - start)

    def forget(self, start: int, end: int) -> None:
        """Give the pages within a range back to the system; they are read again if touched."""
        start = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        end = end // mmap.PAGESIZE * mmap.PAGESIZE
        if start < end and not self._is_copy and hasattr(mmap, "MADV_DONTNEED"):
            self.content.madvise(mmap.MADV_DONTNEED, start, end - start)
