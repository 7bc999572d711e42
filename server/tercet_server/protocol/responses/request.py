"""The body of a request for a response.

Sampling fields beyond OpenAI's (top_k, seed, stop and the like) are those of chat. Fields that only
chat has under another name, and those that need what this server does not have, are refused.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import override

from tercet_server.protocol.base import MAX_NAME_CHARS, RequestModel, refuse
from tercet_server.protocol.common import MAX_LOGPROBS, Count, GenerationRequest
from tercet_server.protocol.responses.items import Id, Input
from tercet_server.protocol.structured import JsonObjectFormat, NamedSchema, TextFormat
from tercet_server.protocol.tools import MAX_DESCRIPTION_CHARS, MAX_TOOLS, ToolName

_NAMES_IN_CHAT: Final[Mapping[str, str]] = {
    "max_tokens": "max_output_tokens",
    "response_format": "text.format",
}
_UNSUPPORTED: Final[Mapping[str, str]] = {
    "conversation": "keeps no conversations; use previous_response_id",
    "prompt": "keeps no prompt templates; send instructions and input",
    "context_management": "does not compact contexts; truncation='auto' drops the oldest items",
    "prompt_logprobs": "tells no log-probabilities of prompts here; /v1/completions does",
    "return_token_ids": "tells no token ids here; /v1/chat/completions does",
}

Includable = Literal[
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
]
"""What can be asked for in addition. All but the first belong to what is never put out here."""


class JsonSchemaFormat(NamedSchema):
    """JSON that validates: chat's `json_schema`, one level flatter."""

    type: Literal["json_schema"]
    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)]


def _tag_of_format(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return f"<{kind}>" if kind in ("text", "json_object", "json_schema") else None


Format = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[JsonSchemaFormat, Tag("<json_schema>")],
    Discriminator(
        _tag_of_format,
        custom_error_type="format_type",
        custom_error_message="must have the type 'text', 'json_object' or 'json_schema'",
    ),
]


class TextConfig(RequestModel):
    """What the text must look like."""

    format: Format | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(RequestModel):
    """How much a model that reasons should think. Its thoughts are told whole, not summed up."""

    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


def _check_kind(kind: object) -> object:
    if kind != "function":
        words = (
            "must be 'function': this server has no tools of its own, "
            "like web_search or code_interpreter"
        )
        raise PydanticCustomError("tool_type", words)
    return kind


FunctionKind = Annotated[Literal["function"], BeforeValidator(_check_kind)]


class FunctionTool(RequestModel):
    """A function that the model may call: chat's, one level flatter."""

    type: FunctionKind
    name: ToolName
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class NamedFunction(RequestModel):
    """Names one of the tools."""

    type: FunctionKind
    name: ToolName


class AllowedTools(RequestModel):
    """Narrows the choice to some of the tools."""

    type: Literal["allowed_tools"]
    mode: Literal["auto", "required"]
    tools: Annotated[tuple[NamedFunction, ...], Field(min_length=1, max_length=MAX_TOOLS)]


def _tag_of_choice(choice: object) -> str | None:
    match choice:
        case "none" | "auto" | "required":
            return "<mode>"
        case {"type": "function"}:
            return "<function>"
        case {"type": "allowed_tools"}:
            return "<allowed>"
    return None


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<mode>")]
    | Annotated[NamedFunction, Tag("<function>")]
    | Annotated[AllowedTools, Tag("<allowed>")],
    Discriminator(
        _tag_of_choice,
        custom_error_type="tool_choice_type",
        custom_error_message=(
            "must be 'none', 'auto' or 'required', or of the type 'function' or 'allowed_tools'"
        ),
    ),
]


class StreamOptions(RequestModel):
    """How a stream is told. Nothing is obfuscated, so there is nothing to leave out."""

    include_obfuscation: bool | None = None


class CreateResponse(GenerationRequest):
    """The body of a request."""

    input: Input | None = None
    instructions: str | None = None
    previous_response_id: Id | None = None
    store: bool | None = None
    background: bool | None = None
    max_output_tokens: Count | None = None
    max_tool_calls: Count | None = None
    text: TextConfig | None = None
    tools: (
        Annotated[tuple[FunctionTool, ...], Field(max_length=MAX_TOOLS, fail_fast=True)] | None
    ) = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    truncation: Literal["auto", "disabled"] | None = None
    include: Annotated[tuple[Includable, ...], Field(max_length=16)] | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    prompt_cache_key: Id | None = None
    safety_identifier: Id | None = None
    service_tier: Id | None = None
    stream_options: StreamOptions | None = None  # type: ignore[assignment]

    @property
    @override
    def include_usage(self) -> bool:
        """A response always tells its usage."""
        return False

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens to report for each of the answer's; None: no report."""
        wanted = "message.output_text.logprobs" in (self.include or ())
        return (self.top_logprobs or 0) if wanted else None

    @property
    def is_stored(self) -> bool:
        """Whether the client wants to find the response again."""
        return self.store is not False

    @model_validator(mode="after")
    def _check_what_is_asked_for(self) -> Self:
        for name, own in _NAMES_IN_CHAT.items():
            if getattr(self, name) is not None:
                refuse(name, f"is a field of chat completions; here it is called {own}")
        given = {**(self.model_extra or {}), **self.model_dump(include=set(_UNSUPPORTED))}
        for name, words in _UNSUPPORTED.items():
            if given.get(name) not in (None, [], False):
                refuse(name, f"is not supported: this server {words}")
        if (self.n or 1) != 1:
            refuse("n", "must be 1: a response is one answer")
        if self.background and not self.is_stored:
            refuse("background", "needs store=true: how else should the response be found?")
        if self.input in (None, ()) and self.previous_response_id is None:
            refuse("input", "is required: a string, or a list of items")
        return self

    @model_validator(mode="after")
    def _check_that_the_tools_fit(self) -> Self:
        names = [tool.name for tool in self.tools or ()]
        chosen: tuple[str, ...] = ()
        match self.tool_choice:
            case NamedFunction(name=name):
                chosen = (name,)
            case AllowedTools(tools=tools):
                chosen = tuple(tool.name for tool in tools)
        if not set(chosen) <= set(names):
            refuse("tool_choice", "names a function that is not among the tools")
        return self
