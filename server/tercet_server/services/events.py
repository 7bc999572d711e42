"""What happens while an assistant answers, in no API's words: each renders these its own way."""

from dataclasses import dataclass

from tercet_server.protocol.common import FinishReason


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that one answer has gained."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """One answer is whole. Its last event."""

    index: int
    finish_reason: FinishReason


AnswerEvent = TextDelta | AnswerEnd
