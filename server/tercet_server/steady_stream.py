"""A stream for a log that outlives its disk: what cannot be written is left out, and told later.

A full disk or a reader that has left must not end requests that need neither. Lines go to the file
itself, so that none is kept back half-written to fail again at the process's end.
"""

import contextlib
import os
from io import UnsupportedOperation
from typing import TextIO


class SteadyStream:
    """Writes whole lines, as long as that is possible. Never raises.

    Args:
        stream: where to write; None: nowhere.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._num_lost = 0
        self._number: int | None = None
        if stream is not None:
            with contextlib.suppress(UnsupportedOperation, AttributeError, ValueError, OSError):
                self._number = stream.fileno()

    def write(self, text: str) -> int:
        """Write a line, or count it as lost."""
        lost = f"({self._num_lost} lines of the log were lost)\n" if self._num_lost else ""
        try:
            self._put(lost + text)
        except (OSError, ValueError):  # ValueError: it is closed
            self._num_lost += 1
        else:
            self._num_lost = 0
        return len(text)

    def flush(self) -> None:
        """Do nothing: nothing is kept back."""

    def isatty(self) -> bool:
        """Whether somebody reads it on a terminal."""
        with contextlib.suppress(ValueError):
            return self._stream is not None and self._stream.isatty()
        return False

    def _put(self, text: str) -> None:
        if self._number is not None:
            rest = memoryview(text.encode("utf-8", "backslashreplace"))
            while rest:
                rest = rest[os.write(self._number, rest) :]
        elif self._stream is not None:
            self._stream.write(text)
            self._stream.flush()
