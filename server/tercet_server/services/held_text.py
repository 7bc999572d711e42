"""How much of a growing text cannot be shown yet, because it may be the beginning of a mark."""

from collections.abc import Sequence


def num_undecided(text: str, marks: Sequence[str]) -> int:
    """Length of the longest end of `text` that is the beginning of a mark, and not a whole one."""
    longest = max(map(len, marks), default=1) - 1
    for start in range(max(0, len(text) - longest), len(text)):
        tail = text[start:]
        if any(len(tail) < len(mark) and mark.startswith(tail) for mark in marks):
            return len(tail)
    return 0


def num_trailing_spaces(text: str) -> int:
    """White space at the end."""
    return len(text) - len(text.rstrip())
