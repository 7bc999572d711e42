"""POST /v1/messages: what a client of Anthropic's API gets, whole or as events."""

from typing import Any, Literal

from tercet_server.protocol.common import ResponseModel

StopReason = Literal[
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded"
]


class TextContent(ResponseModel):
    """Text of an answer."""

    type: Literal["text"]
    text: str


class ThinkingContent(ResponseModel):
    """What the model thought before. Nothing is signed here."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class ToolUseContent(ResponseModel):
    """A tool that the answer calls."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


Content = TextContent | ThinkingContent | ToolUseContent


class ThinkingTokens(ResponseModel):
    """What output tokens were for."""

    thinking_tokens: int


class MessageUsage(ResponseModel):
    """Tokens read and written. All three kinds of input tokens together are the prompt."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingTokens | None = None


class AnsweredMessage(ResponseModel):
    """An answer, or in a stream its beginning."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[Content]
    stop_reason: StopReason | None
    stop_sequence: str | None
    usage: MessageUsage


class TokenCount(ResponseModel):
    """How long a prompt is."""

    input_tokens: int


class MessageStart(ResponseModel):
    """An answer begins."""

    type: Literal["message_start"]
    message: AnsweredMessage


class Ping(ResponseModel):
    """The stream lives."""

    type: Literal["ping"]


class BlockStart(ResponseModel):
    """A block begins, empty."""

    type: Literal["content_block_start"]
    index: int
    content_block: Content


class TextAdded(ResponseModel):
    """Text that a block gains."""

    type: Literal["text_delta"]
    text: str


class ThinkingAdded(ResponseModel):
    """Thought that a block gains."""

    type: Literal["thinking_delta"]
    thinking: str


class InputAdded(ResponseModel):
    """A stretch of the JSON that a tool is called with."""

    type: Literal["input_json_delta"]
    partial_json: str


Added = TextAdded | ThinkingAdded | InputAdded


class BlockDelta(ResponseModel):
    """A block grows."""

    type: Literal["content_block_delta"]
    index: int
    delta: Added


class BlockStop(ResponseModel):
    """A block is whole."""

    type: Literal["content_block_stop"]
    index: int


class MessageEnd(ResponseModel):
    """Why the answer ended."""

    stop_reason: StopReason
    stop_sequence: str | None


class MessageDelta(ResponseModel):
    """What is known of the answer only at its end."""

    type: Literal["message_delta"]
    delta: MessageEnd
    usage: MessageUsage


class MessageStop(ResponseModel):
    """The answer is whole."""

    type: Literal["message_stop"]


MessageEvent = (
    MessageStart | Ping | BlockStart | BlockDelta | BlockStop | MessageDelta | MessageStop
)
