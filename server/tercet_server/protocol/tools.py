"""Tools in a chat request: which there are, which the model may call, which it has called.

What is asked now is read strictly. What the conversation's history holds is read leniently: once a
model has written a call that is no JSON, refusing to read it would end the conversation for good.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from tercet_server.protocol.common import MAX_NAME_CHARS, RequestModel, ResponseModel, refuse

MAX_TOOLS: Final = 128
MAX_TOOL_CALLS: Final = 128
"""Of one message in the history."""
MAX_TOOL_NAME_CHARS: Final = 64
MAX_DESCRIPTION_CHARS: Final = 65_536
MAX_SCHEMA_BYTES: Final = 256 * 1024
"""Of all tools together."""
_NAME_RULE: Final = f"must be 1 to {MAX_TOOL_NAME_CHARS} letters, digits, underscores or hyphens"


def _check_name(name: str) -> str:
    is_plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    if not (is_plain or set(name) <= {"_", "-"}) or not 1 <= len(name) <= MAX_TOOL_NAME_CHARS:
        raise PydanticCustomError("tool_name", _NAME_RULE)
    return name


def _check_type(kind: object) -> object:
    if kind != "function":
        words = "must be 'function': this server offers no other kind of tool"
        raise PydanticCustomError("tool_type", words)
    return kind


ToolName = Annotated[str, AfterValidator(_check_name)]
FunctionType = Annotated[Literal["function"], BeforeValidator(_check_type)]


class FunctionDefinition(RequestModel):
    """A function that the model may call. Calls always obey the schema, whatever `strict` says."""

    name: ToolName
    description: Annotated[str, Field(max_length=MAX_DESCRIPTION_CHARS)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @model_validator(mode="after")
    def _check_that_arguments_are_an_object(self) -> Self:
        if (self.parameters or {}).get("type", "object") != "object":
            refuse("parameters.type", "must be 'object': arguments have names")
        return self

    @property
    def schema_text(self) -> str:
        """The parameters' JSON schema as text."""
        return json.dumps(self.parameters or {}, ensure_ascii=False)


class Tool(RequestModel):
    """One of the request's tools."""

    type: FunctionType
    function: FunctionDefinition

    def as_dict(self) -> dict[str, Any]:
        """The tool as chat templates know it."""
        function: dict[str, Any] = {"name": self.function.name}
        if self.function.description is not None:
            function["description"] = self.function.description
        function["parameters"] = self.function.parameters or {"type": "object", "properties": {}}
        return {"type": "function", "function": function}


Tools = Annotated[tuple[Tool, ...], Field(max_length=MAX_TOOLS, fail_fast=True)]


def check_tools(tools: tuple[Tool, ...]) -> None:
    """Refuse tools that share a name, or whose schemas are too long together."""
    names = [tool.function.name for tool in tools]
    for index, name in enumerate(names):
        if name in names[:index]:
            refuse(
                f"tools[{index}].function.name", "is taken by an earlier tool; names must differ"
            )
    num_bytes = sum(len(tool.function.schema_text.encode("utf-8", "replace")) for tool in tools)
    if num_bytes > MAX_SCHEMA_BYTES:
        refuse(
            "tools",
            "must have schemas of at most {limit} bytes together; got {value}",
            limit=MAX_SCHEMA_BYTES,
            value=num_bytes,
        )


class FunctionName(RequestModel):
    """Names a function."""

    name: ToolName


class NamedToolChoice(RequestModel):
    """Wants one tool to be called."""

    type: FunctionType
    function: FunctionName


def _tag_of_choice(choice: object) -> str | None:
    match choice:
        case None | "none" | "auto" | "required":
            return "<mode>"
        case {"type": "function"} | NamedToolChoice():
            return "<named>"
    return None


def _refuse_allowed_tools(choice: object) -> object:
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        words = "of type 'allowed_tools' is not supported; send only the tools that are allowed"
        raise PydanticCustomError("tool_choice_allowed", words)
    return choice


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"] | None, Tag("<mode>")]
    | Annotated[NamedToolChoice, Tag("<named>")],
    Discriminator(
        _tag_of_choice,
        custom_error_type="tool_choice_type",
        custom_error_message=(
            "must be 'none', 'auto' or 'required', or name a function: "
            '{"type": "function", "function": {"name": "..."}}'
        ),
    ),
    BeforeValidator(_refuse_allowed_tools),
]


class PastFunction(RequestModel):
    """A function as it was called earlier, its arguments maybe no JSON."""

    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] = ""
    arguments: str | dict[str, Any] | None = None

    @property
    def num_chars(self) -> int:
        """Length of what a template is given of it."""
        return len(self.name) + len(self.arguments_text)

    @property
    def arguments_text(self) -> str:
        """The arguments as they were written."""
        if isinstance(self.arguments, dict):
            return json.dumps(self.arguments, ensure_ascii=False)
        return self.arguments or ""

    @property
    def arguments_object(self) -> Mapping[str, Any]:
        """The arguments as an object, which templates expect; what is none is put into one."""
        if isinstance(self.arguments, dict):
            return self.arguments
        text = (self.arguments or "").strip()
        try:
            value = json.loads(text) if text else {}
        except (ValueError, RecursionError):
            value = text
        return value if isinstance(value, dict) else {"malformed_arguments": text}


class PastToolCall(RequestModel):
    """A call in an assistant's message."""

    id: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    type: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    function: PastFunction = PastFunction()

    def as_dict(self) -> dict[str, Any]:
        """The call as chat templates know it."""
        function = {"name": self.function.name, "arguments": self.function.arguments_object}
        return {"id": self.id or "", "type": "function", "function": function}


PastToolCalls = Annotated[
    tuple[PastToolCall, ...], Field(max_length=MAX_TOOL_CALLS, fail_fast=True)
]


class CalledFunction(ResponseModel):
    """A function as an answer calls it. In a stream the arguments come in pieces."""

    name: str | None = None
    arguments: str


class MessageToolCall(ResponseModel):
    """One call of a whole answer."""

    id: str
    type: Literal["function"]
    function: CalledFunction


class DeltaToolCall(ResponseModel):
    """What a chunk adds to one call. Only its first has `id`, `type` and the function's name."""

    index: int
    id: str | None = None
    type: Literal["function"] | None = None
    function: CalledFunction
