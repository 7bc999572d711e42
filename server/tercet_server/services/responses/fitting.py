"""Truncation: with truncation="auto" the oldest messages are dropped until the rest fits.

What is kept begins with a message of the user's, so that no result of a tool is left without its
call. Each try drops as much as the last refusal says is too much, so few are needed.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from tercet_engine import PromptTooLong
from tercet_server.errors import PromptTooLarge

_SAFETY: Final = 0.95
"""Characters tell tokens only roughly."""


def without_oldest(
    messages: Sequence[dict[str, Any]],
    error: PromptTooLong | PromptTooLarge,
    max_output_tokens: int | None,
) -> list[dict[str, Any]] | None:
    """Fewer messages, of which more is likely to fit; None: nothing can be dropped.

    Args:
        messages: all that did not fit.
        error: says by how much.
        max_output_tokens: that must have room too.
    """
    beginnings = [i for i, message in enumerate(messages) if i and message["role"] == "user"]
    if not beginnings:
        return None
    total = sum(map(_length, messages))
    target = total * _share(error, max_output_tokens)
    dropped = list(accumulate(map(_length, messages), initial=0))
    return list(
        messages[next((i for i in beginnings if total - dropped[i] <= target), beginnings[-1]) :]
    )


def _share(error: PromptTooLong | PromptTooLarge, max_output_tokens: int | None) -> float:
    if isinstance(error, PromptTooLarge):
        return 0.5
    room = error.max_context - (max_output_tokens or 1)
    return _SAFETY * room / max(1, error.num_prompt_tokens)


def _length(message: dict[str, Any]) -> int:
    return len(message.get("content") or "") + 16
