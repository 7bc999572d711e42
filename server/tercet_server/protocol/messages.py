"""POST /v1/messages and /v1/messages/count_tokens: what a client of Anthropic's API sends.

Of the blocks that a message may hold, text, thoughts and the two ends of a tool call are read.
Images, documents and Anthropic's own tools are named only to be refused in words. What no answer
depends on here (cache control, metadata, service tiers) is ignored.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from tercet_server.protocol.chat import MAX_CONTENT_PARTS, MAX_MESSAGES, MAX_THINKING_TOKENS
from tercet_server.protocol.common import MAX_NAME_CHARS, Count, RequestModel, refuse
from tercet_server.protocol.structured import Schema, Structure, schema_structure
from tercet_server.protocol.tools import MAX_DESCRIPTION_CHARS, MAX_TOOLS, ToolName
from tercet_server.protocol.translated import ManyStopStrings

_BLOCKS: Final = ("text", "thinking", "redacted_thinking", "tool_use", "tool_result")
_ONLY_FOR: Final = {
    "tool_use": "assistant",
    "thinking": "assistant",
    "redacted_thinking": "assistant",
    "tool_result": "user",
}

Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]


class TextBlock(RequestModel):
    """A piece of text."""

    type: Literal["text"]
    text: str


def _tag_of_content(content: object) -> str | None:
    if isinstance(content, str):
        return "<string>"
    return "<blocks>" if isinstance(content, list | tuple) else None


def _tag_of_block(block: object) -> str | None:
    kind = block.get("type") if isinstance(block, dict) else None
    return f"<{kind}>" if kind in _BLOCKS else None


def _refuse_all_but_text(block: object) -> object:
    if isinstance(block, dict) and block.get("type") != "text":
        words = "must be a block of type 'text': this server reads no other kind here"
        raise PydanticCustomError("block_type", words)
    return block


_STRING_OR_BLOCKS: Final = Discriminator(
    _tag_of_content,
    custom_error_type="content_type",
    custom_error_message="must be a string, or a list of blocks",
)
_MANY: Final = Field(max_length=MAX_CONTENT_PARTS, fail_fast=True)
Texts = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        tuple[Annotated[TextBlock, BeforeValidator(_refuse_all_but_text)], ...],
        _MANY,
        Tag("<blocks>"),
    ],
    _STRING_OR_BLOCKS,
]


def text_of(content: "Texts | None") -> str:
    """Text blocks become lines."""
    if isinstance(content, tuple):
        return "\n".join(block.text for block in content)
    return content or ""


class ThinkingBlock(RequestModel):
    """What the assistant had thought."""

    type: Literal["thinking"]
    thinking: str


class RedactedThinkingBlock(RequestModel):
    """A thought that nobody can read."""

    type: Literal["redacted_thinking"]


class ToolUseBlock(RequestModel):
    """A tool that the assistant has called."""

    type: Literal["tool_use"]
    id: Name
    name: Name
    input: dict[str, Any]


class ToolResultBlock(RequestModel):
    """What a tool has said."""

    type: Literal["tool_result"]
    tool_use_id: Name
    content: Texts | None = None
    is_error: bool | None = None


Block = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ThinkingBlock, Tag("<thinking>")]
    | Annotated[RedactedThinkingBlock, Tag("<redacted_thinking>")]
    | Annotated[ToolUseBlock, Tag("<tool_use>")]
    | Annotated[ToolResultBlock, Tag("<tool_result>")],
    Discriminator(
        _tag_of_block,
        custom_error_type="block_type",
        custom_error_message=(
            "must be a block of type 'text', 'tool_use' or 'tool_result': "
            "this server does not take images, documents or Anthropic's own tools"
        ),
    ),
]
Blocks = Annotated[
    Annotated[str, Tag("<string>")] | Annotated[tuple[Block, ...], _MANY, Tag("<blocks>")],
    _STRING_OR_BLOCKS,
]


class InputMessage(RequestModel):
    """One turn."""

    role: Literal["user", "assistant", "system"]
    content: Blocks

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The content; a string is one block of text."""
        if isinstance(self.content, str):
            return (TextBlock(type="text", text=self.content),)
        return self.content

    @model_validator(mode="after")
    def _check_who_says_what(self) -> Self:
        for index, block in enumerate(self.blocks):
            role = _ONLY_FOR.get(block.type, self.role)
            if role != self.role:
                words = f"of type '{block.type}' may only be in a message of the role '{role}'"
                refuse(f"content[{index}]", words)
        return self


class ToolDefinition(RequestModel):
    """A tool that the model may call. Calls always obey the schema, whatever `strict` says."""

    type: Literal["custom"] | None = None
    name: ToolName
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS)] | None = None
    input_schema: Schema
    strict: bool | None = None


def _refuse_own_tools(tool: object) -> object:
    if isinstance(tool, dict) and tool.get("type") not in (None, "custom"):
        words = (
            "is a tool of Anthropic's own, which this server does not have; "
            "declare it with a name and an input_schema"
        )
        raise PydanticCustomError("tool_type", words)
    return tool


class ToolChoice(RequestModel):
    """Whether a tool is called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(RequestModel):
    """Whether the model thinks aloud before it answers; for those that can."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=1, le=MAX_THINKING_TOKENS)] | None = None


class JsonFormat(RequestModel):
    """JSON that validates."""

    type: Literal["json_schema"]
    schema_: Annotated[Schema, Field(alias="schema")]


class OutputConfig(RequestModel):
    """How much effort an answer is worth, and what it must look like."""

    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: JsonFormat | None = None


class CountTokensRequest(RequestModel):
    """A conversation to be counted, and all of one to be answered that the count depends on."""

    model_config = ConfigDict(extra="allow")

    model: Name | None = None
    messages: Annotated[
        tuple[InputMessage, ...], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    ]
    system: Texts | None = None
    tools: (
        Annotated[
            tuple[Annotated[ToolDefinition, BeforeValidator(_refuse_own_tools)], ...],
            Field(max_length=MAX_TOOLS, fail_fast=True),
        ]
        | None
    ) = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None

    @property
    def shape(self) -> Structure | None:
        """What the answer must look like."""
        if self.output_config is None or self.output_config.format is None:
            return None
        return schema_structure(self.output_config.format.schema_, "output_config.format.schema")

    @model_validator(mode="after")
    def _check_the_shape(self) -> Self:
        _ = self.shape  # refuses what is too long
        return self

    @model_validator(mode="after")
    def _check_the_choice(self) -> Self:
        names = {tool.name for tool in self.tools or ()}
        choice = self.tool_choice
        if choice and choice.type in {"any", "tool"} and not names:
            refuse("tool_choice", "asks for a tool, but there are no tools")
        if choice and choice.type == "tool" and choice.name not in names:
            refuse("tool_choice.name", "must be the name of one of the tools")
        return self


class MessagesRequest(CountTokensRequest):
    """A conversation to be answered."""

    max_tokens: Count
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    stop_sequences: ManyStopStrings | None = None
    stream: bool | None = None

    @model_validator(mode="after")
    def _refuse_to_continue_an_answer(self) -> Self:
        if self.messages[-1].role == "assistant":
            refuse(
                "messages",
                "must end with a message of the user's: this server does not continue an answer "
                "that has begun. Say what it must look like in output_config.format",
            )
        return self
