"""Exceptions as the log tells them: where they were raised and what they are, not what they say.

A message is made of values, and values are what clients sent. An error of the system is told in the
system's own words; the places are lines of code.
"""

import traceback
from types import TracebackType
from typing import Final

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]
_MAX_CAUSES: Final = 8
_MAX_FRAMES: Final = 64


def stack_of(exc_info: ExcInfo) -> str:
    """The traceback of an exception and of those that it came from, the first one first."""
    chain: list[BaseException] = []
    error: BaseException | None = exc_info[1]
    while error is not None and len(chain) < _MAX_CAUSES:
        chain.append(error)
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)
    return "\n".join(_one(error) for error in reversed(chain))


def _one(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__, limit=-_MAX_FRAMES)
    told = "Traceback, the last call last:\n" + "".join(frames.format()) + _name(error)
    if isinstance(error, BaseExceptionGroup):
        told = "\n".join([told, *map(_one, error.exceptions[:_MAX_CAUSES])])
    return told


def _name(error: BaseException) -> str:
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    if isinstance(error, OSError) and isinstance(error.strerror, str) and error.errno is not None:
        return f"{name}: {error.strerror} (errno {error.errno})"
    return name
