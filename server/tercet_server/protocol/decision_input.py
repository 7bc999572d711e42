"""What decisions are about: a text, or a conversation with calls of tools and their outputs.

Images are named here only to be refused in words.
"""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from tercet_server.protocol.base import MAX_NAME_CHARS, RequestModel
from tercet_server.protocol.refusal import RefusalPart

MAX_ITEMS: Final = 2048
MAX_PARTS: Final = 1024

Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]


class TextPart(RequestModel):
    """A piece of text."""

    type: Literal["input_text", "output_text"]
    text: str


class JsonPart(RequestModel):
    """Data, to be read as text."""

    type: Literal["input_json"]
    data: dict[str, Any] | list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The data as the model reads it."""
        return json.dumps(self.data, ensure_ascii=False)


def _tag_of_part(part: object) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    tags = {
        "input_text": "<text>",
        "output_text": "<text>",
        "refusal": "<refusal>",
        "input_json": "<json>",
    }
    return tags.get(kind) if isinstance(kind, str) else None


def _tag_of_content(content: object) -> str | None:
    if isinstance(content, str):
        return "<string>"
    return "<parts>" if isinstance(content, list | tuple) else None


Part = Annotated[
    Annotated[TextPart, Tag("<text>")]
    | Annotated[RefusalPart, Tag("<refusal>")]
    | Annotated[JsonPart, Tag("<json>")],
    Discriminator(
        _tag_of_part,
        custom_error_type="part_type",
        custom_error_message=(
            "must be a part of type 'input_text', 'input_json', 'output_text' or 'refusal': "
            "this server does not take images"
        ),
    ),
]
Content = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        tuple[Part, ...], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True), Tag("<parts>")
    ],
    Discriminator(
        _tag_of_content,
        custom_error_type="content_type",
        custom_error_message="must be a string, or a list of parts",
    ),
]


class InputMessage(RequestModel):
    """One turn of a conversation."""

    type: Literal["message"] | None = None
    role: Literal["user", "developer", "system", "assistant"]
    content: Content


class InputCall(RequestModel):
    """A call of a tool that was made."""

    type: Literal["function_call", "custom_tool_call"]
    call_id: Name
    name: Name
    arguments: str | None = None
    input: str | None = None

    @property
    def text(self) -> str:
        """What the tool was given."""
        return self.arguments or self.input or ""


class InputCallOutput(RequestModel):
    """What the tool returned."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: Name
    output: Content


def _tag_of_item(item: object) -> str | None:
    kind = item.get("type") if isinstance(item, dict) else getattr(item, "type", None)
    match kind:
        case None | "message":
            return "<message>"
        case "function_call" | "custom_tool_call":
            return "<call>"
        case "function_call_output" | "custom_tool_call_output":
            return "<call output>"
    return None


InputItem = Annotated[
    Annotated[InputMessage, Tag("<message>")]
    | Annotated[InputCall, Tag("<call>")]
    | Annotated[InputCallOutput, Tag("<call output>")],
    Discriminator(
        _tag_of_item,
        custom_error_type="item_type",
        custom_error_message="must be a message, or a call of a tool or its output",
    ),
]
Input = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[
        tuple[InputItem, ...],
        Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True),
        Tag("<parts>"),
    ],
    Discriminator(
        _tag_of_content,
        custom_error_type="input_type",
        custom_error_message="must be a string, or a list of messages",
    ),
]
