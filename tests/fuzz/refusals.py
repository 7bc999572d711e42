"""What a refusal must be like: a sentence that can be read, printed, and is of a bounded length."""

from typing import Final

from tests.fuzz.target import Finding

MAX_CHARS: Final = 2000


def refused(error: Exception) -> str:
    """Check the message of an error that is ours; say that it came."""
    told = str(error)
    kind = type(error).__name__
    if not told.strip():
        message = f"{kind} without words"
        raise Finding(message)
    if len(told) > MAX_CHARS:
        message = f"{kind} of many characters: {len(told)}, {told[:300]!r}"
        raise Finding(message) from error
    if not told.replace("\n", " ").isprintable():
        message = f"{kind} that cannot be printed: {told[:300]!r}"
        raise Finding(message) from error
    return f"refused as {kind}"
