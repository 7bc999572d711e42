"""What happens while an assistant answers, in no API's words: each renders these its own way.

The events of one answer come in this order: its reasoning, its text, its tool calls one after the
other (each `ToolCallStart` before its arguments), its end. Any of them but the end may be missing.

Each event has the tokens it was made of, roughly: text may come after its tokens, and an answer's
tokens are those of all its events, marks that no event shows included.
"""

from dataclasses import dataclass

from tercet_engine import TokenLogprobs
from tercet_server.protocol.common import FinishReason


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """What the model has thought aloud before it answers."""

    index: int
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text that one answer has gained."""

    index: int
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """The answer begins to call a tool.

    Attributes:
        index: of the answer.
        call: 0 for the answer's first call, 1 for its second, and so on.
        id: by which the client will refer to the call.
        name: of the tool.
    """

    index: int
    call: int
    id: str
    name: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A stretch of a call's arguments; all of them joined are one JSON object."""

    index: int
    call: int
    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerEnd:
    """One answer is whole. Its last event."""

    index: int
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


AnswerEvent = ReasoningDelta | TextDelta | ToolCallStart | ToolCallArguments | AnswerEnd
