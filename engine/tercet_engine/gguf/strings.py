"""An array of strings that is decoded when it is asked for.

A vocabulary and its merges are 400,000 strings, which not everyone who opens a file wants.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, overload

from typing_extensions import override

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf.cursor import Content, Cursor

MAX_STRING_BYTES: Final = 64_000_000
_LENGTH: Final = struct.Struct("<Q")


class StringArray(Sequence[str]):
    """Strings of a file, checked to lie within it.

    Raises:
        CheckpointError: when it is read, if a string is not UTF-8.
    """

    def __init__(self, cursor: Cursor, count: int, key: str, path: Path) -> None:
        self._content: Content = cursor.content
        self._start = cursor.position
        self._count = count
        self._key = key
        self._path = path
        self._strings: list[str] | None = None
        _skip_strings(cursor, count, key)

    @override
    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    @override
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if self._strings is None:
            self._strings = self.decode()
        return self._strings[index]

    def decode(self) -> list[str]:
        """Decode all of it, without keeping the result."""
        content, unpack, position = self._content, _LENGTH.unpack_from, self._start
        strings: list[str] = []
        try:
            for _ in range(self._count):
                end = position + 8 + unpack(content, position)[0]
                strings.append(str(content[position + 8 : end], "utf-8"))
                position = end
        except UnicodeDecodeError as error:
            message = f"{self._path}: string {len(strings)} of {self._key} is not UTF-8"
            raise CheckpointError(message) from error
        return strings


def _skip_strings(cursor: Cursor, count: int, key: str) -> None:
    """Move on over strings, each checked; written out because it runs 400,000 times a file."""
    content, unpack, position, end = (
        cursor.content,
        _LENGTH.unpack_from,
        cursor.position,
        cursor.end,
    )
    for index in range(count):
        if end - position < 8:
            cursor.refuse(f"is truncated or damaged: string {index} of {key} is missing")
        length = unpack(content, position)[0]
        position += 8
        if length > end - position or length > MAX_STRING_BYTES:
            cursor.refuse(
                f"is truncated or damaged: string {index} of {key} has {length} bytes; there are "
                f"{end - position} left and at most {MAX_STRING_BYTES} are read"
            )
        position += length
    cursor.position = position
