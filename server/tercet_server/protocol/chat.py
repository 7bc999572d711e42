"""POST /v1/chat/completions: what a client sends and what it gets.

Images, audio and files are named here only to be refused in words. Tools are in `tools.py`.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from tercet_server.protocol.common import (
    MAX_LOGPROBS,
    MAX_NAME_CHARS,
    Count,
    FinishReason,
    GenerationRequest,
    RequestModel,
    ResponseModel,
    Usage,
    refuse,
)
from tercet_server.protocol.logprobs import ChatLogprobs, PromptLogprobs
from tercet_server.protocol.refusal import RefusalPart
from tercet_server.protocol.tools import (
    DeltaToolCall,
    MessageToolCall,
    NamedToolChoice,
    PastFunction,
    PastToolCall,
    PastToolCalls,
    ToolChoice,
    Tools,
    check_tools,
)

MAX_MESSAGES: Final = 2048
MAX_CONTENT_PARTS: Final = 1024
MAX_TEMPLATE_VARIABLES: Final = 16
MAX_THINKING_TOKENS: Final = 2**20

Role = Literal["developer", "system", "user", "assistant", "tool", "function"]
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
_OWN_VARIABLES: Final = frozenset(
    {"messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "range"}
)
"""Names that a template knows and a client may not set."""


def _check_variables(value: object) -> object:
    if not isinstance(value, dict):
        return value
    if len(value) > MAX_TEMPLATE_VARIABLES:
        words = "must have at most {max_length} entries"
        raise PydanticCustomError("too_long", words, {"max_length": MAX_TEMPLATE_VARIABLES})
    for name, variable in value.items():
        if not name.isidentifier() or name in _OWN_VARIABLES or name.endswith("_token"):
            words = "must not set '{name}': that is no variable for a client to set"
            raise PydanticCustomError("variable_name", words, {"name": name[:64]})
        if not (variable is None or isinstance(variable, bool | int | float | str)):
            words = "must hold strings, numbers, booleans and null; '{name}' is none of them"
            raise PydanticCustomError("variable_type", words, {"name": name[:64]})
    return value


TemplateVariables = Annotated[dict[str, Any], BeforeValidator(_check_variables)]


class TextPart(RequestModel):
    """A piece of a message's text."""

    type: Literal["text"]
    text: str


def _tag_of_part(part: object) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else None
    return f"<{kind}>" if kind in ("text", "refusal") else None


def _tag_of_content(content: object) -> str | None:
    if isinstance(content, str):
        return "<string>"
    return "<parts>" if isinstance(content, list) else None


Part = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[RefusalPart, Tag("<refusal>")],
    Discriminator(
        _tag_of_part,
        custom_error_type="part_type",
        custom_error_message=(
            "must be a part of type 'text': this server does not take images, audio or files"
        ),
    ),
]
Content = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        tuple[Part, ...],
        Field(min_length=1, max_length=MAX_CONTENT_PARTS, fail_fast=True),
        Tag("<parts>"),
    ],
    Discriminator(
        _tag_of_content,
        custom_error_type="content_type",
        custom_error_message="must be a string, or a list of parts of type 'text'",
    ),
]


class Message(RequestModel):
    """One turn of the conversation. What an assistant once answered may be sent back as it came."""

    role: Role
    content: Content | None = None
    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    tool_call_id: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    tool_calls: PastToolCalls | None = None
    function_call: PastFunction | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    @property
    def text(self) -> str:
        """The content as one string; parts become lines."""
        if isinstance(self.content, tuple):
            return "\n".join(part.text for part in self.content)
        return self.content or ""

    @property
    def calls(self) -> tuple[PastToolCall, ...]:
        """The tools called, in the old form or the new."""
        if self.function_call:
            return (*(self.tool_calls or ()), PastToolCall(function=self.function_call))
        return self.tool_calls or ()

    @property
    def thoughts(self) -> str:
        """What the assistant had thought, under either of its names."""
        return self.reasoning_content or self.reasoning or ""

    @property
    def num_chars(self) -> int:
        """Length of all that a template is given of it."""
        calls = sum(call.function.num_chars for call in self.calls)
        return len(self.text) + len(self.thoughts) + calls

    @model_validator(mode="after")
    def _check_what_the_role_needs(self) -> Self:
        if self.content is None and not (
            self.role == "assistant" and (self.calls or self.thoughts)
        ):
            refuse("content", "is required: a string, or a list of parts of type 'text'")
        return self


class ChatCompletionRequest(GenerationRequest):
    """The body of a chat request."""

    messages: Annotated[
        tuple[Message, ...], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
    ]
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: ReasoningEffort | None = None
    thinking_token_budget: Annotated[int, Field(ge=0, le=MAX_THINKING_TOKENS)] | None = None
    chat_template_kwargs: TemplateVariables | None = None

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to report for each of the answer's; None: no report."""
        return (self.top_logprobs or 0) if self.logprobs else None

    @property
    def num_chars(self) -> int:
        """Length of all messages and tools together."""
        tools = sum(
            len(tool.function.description or "") + len(tool.function.schema_text)
            for tool in self.tools or ()
        )
        return tools + sum(message.num_chars for message in self.messages)

    @property
    def token_limit(self) -> int | None:
        """Tokens of an answer at most; None where the client leaves it open."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def token_ceiling(self) -> int | None:
        """The same without `token_limit`, and fewer where the context has no room for them."""
        return None

    @model_validator(mode="after")
    def _check_that_the_tools_fit(self) -> Self:
        check_tools(self.tools or ())
        match self.tool_choice:
            case "required" if not self.tools:
                refuse("tool_choice", "is 'required', but there are no tools")
            case NamedToolChoice(function=function):
                if function.name not in {tool.function.name for tool in self.tools or ()}:
                    refuse("tool_choice", "names a function that is not among the tools")
        return self

    @model_validator(mode="after")
    def _check_that_the_limits_agree(self) -> Self:
        if self.top_logprobs and not self.logprobs:
            refuse("top_logprobs", "is only allowed together with logprobs=true")
        new, old = self.max_completion_tokens, self.max_tokens
        if new is not None and old is not None and new != old:
            refuse(
                "max_tokens",
                "is the old name of max_completion_tokens, and the two differ: {old} and {new}. "
                "Give one of them",
                old=old,
                new=new,
            )
        return self


class AssistantMessage(ResponseModel):
    """A whole answer."""

    role: Literal["assistant"]
    content: str | None
    refusal: None
    reasoning_content: str | None = None
    tool_calls: list[MessageToolCall] | None = None


class ChatChoice(ResponseModel):
    """One of the answers asked for."""

    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason
    token_ids: list[int] | None = None


class ChatCompletion(ResponseModel):
    """The answer to a request that does not stream."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: PromptLogprobs | None = None


class Delta(ResponseModel):
    """What a chunk adds to its message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[DeltaToolCall] | None = None


class ChunkChoice(ResponseModel):
    """What a chunk adds to one of the answers."""

    index: int
    delta: Delta
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason | None
    token_ids: list[int] | None = None


class ChatCompletionChunk(ResponseModel):
    """One event of a stream. `usage` is written only if the client asked for it."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None
