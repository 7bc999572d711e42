"""What happens while an assistant answers, in no API's words: each renders these its own way."""

from dataclasses import dataclass

from tercet_engine import TokenLogprobs
from tercet_server.protocol.common import FinishReason


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that one answer has gained, and the tokens it was made of."""

    index: int
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """One answer is whole. Its last event."""

    index: int
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    """Of the end itself, which is no text."""
    logprobs: tuple[TokenLogprobs, ...] = ()


AnswerEvent = TextDelta | AnswerEnd
