"""A place in the bytes of an untrusted file, which moves on and never beyond the end."""

import struct
from pathlib import Path
from typing import Any, Final, NoReturn

from tercet_engine.errors import CheckpointError

Content = Any
"""Anything with the buffer protocol whose slices are bytes: `mmap.mmap` or `bytes`."""

MAX_SHOWN_CHARS: Final = 80
_UINT32: Final = struct.Struct("<I")
_UINT64: Final = struct.Struct("<Q")


class Cursor:
    """Reads one value after the other.

    Attributes:
        content: the file's bytes.
        end: no value may reach beyond it.
        position: where the next value begins.
    """

    def __init__(self, content: Content, end: int, path: Path) -> None:
        self.content = content
        self.end = end
        self.position = 0
        self._path = path

    @property
    def num_left(self) -> int:
        """Bytes that are left."""
        return self.end - self.position

    def refuse(self, what: str) -> NoReturn:
        """Raise the error that says what is wrong with the file."""
        message = f"{self._path} {what}"
        raise CheckpointError(message)

    def skip(self, num_bytes: int, what: str) -> int:
        """Move on over `what`; return where it begins."""
        start = self.position
        if num_bytes > self.end - start:
            self.refuse(
                f"is truncated or damaged: {what} takes {num_bytes} bytes, "
                f"and there are {self.end - start} left"
            )
        self.position = start + num_bytes
        return start

    def unpack(self, form: struct.Struct, what: str) -> Any:
        """Read one value of a form that holds one."""
        return form.unpack_from(self.content, self.skip(form.size, what))[0]

    def uint32(self, what: str) -> int:
        """Read an unsigned integer of 4 bytes."""
        return int(self.unpack(_UINT32, what))

    def uint64(self, what: str) -> int:
        """Read an unsigned integer of 8 bytes."""
        return int(self.unpack(_UINT64, what))

    def count(self, limit: int, least_bytes: int, what: str) -> int:
        """Read a number of things: at most `limit`, each of at least `least_bytes`."""
        count = self.uint64(f"the number of {what}")
        if count > limit:
            self.refuse(f"announces {count} {what}; at most {limit} are read")
        if count * least_bytes > self.num_left:
            self.refuse(
                f"is truncated or damaged: it announces {count} {what}, "
                f"and there are {self.num_left} bytes left"
            )
        return count

    def text(self, limit: int, what: str) -> str:
        """Read a string of at most `limit` bytes."""
        length = self.uint64(f"the length of {what}")
        if length > limit:
            self.refuse(f"has {what} of {length} bytes; at most {limit} are read")
        start = self.skip(length, what)
        try:
            return str(self.content[start : start + length], "utf-8")
        except UnicodeDecodeError:
            self.refuse(f"is damaged: {what} is not UTF-8")


def shown(text: str) -> str:
    """Write a name out of a file so that a message stays short and a terminal unharmed."""
    short = text if len(text) <= MAX_SHOWN_CHARS else f"{text[:MAX_SHOWN_CHARS]}…"
    return short if short.isprintable() else ascii(short)
