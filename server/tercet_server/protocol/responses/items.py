"""The items a conversation is made of.

What a response has put out may be sent back as it came: a message, a call, thoughts. Items of tools
that this server does not have are refused in words. What the history holds is read leniently.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag, TypeAdapter

from tercet_server.protocol.base import MAX_NAME_CHARS, RequestModel
from tercet_server.protocol.refusal import RefusalPart

MAX_ITEMS: Final = 2048
MAX_PARTS: Final = 1024
_TEXT_PARTS: Final = ("input_text", "output_text", "text", "summary_text")
_THOUGHT_PARTS: Final = ("reasoning_text", "summary_text", "text")

Id = Annotated[str, Field(max_length=MAX_NAME_CHARS)]


class TextPart(RequestModel):
    """Text that somebody wrote, the user or the model."""

    type: Literal["input_text", "output_text", "text", "summary_text"]
    text: str


def _tag_of_part(part: object) -> str | None:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    if kind in _TEXT_PARTS:
        return "<text>"
    return "<refusal>" if kind == "refusal" else None


def _tag_of_content(content: object) -> str | None:
    if isinstance(content, str):
        return "<string>"
    return "<parts>" if isinstance(content, list | tuple) else None


Part = Annotated[
    Annotated[TextPart, Tag("<text>")] | Annotated[RefusalPart, Tag("<refusal>")],
    Discriminator(
        _tag_of_part,
        custom_error_type="part_type",
        custom_error_message=(
            "must be a part of type 'input_text' or 'output_text': this server does not take "
            "images, audio or files"
        ),
    ),
]
Content = Annotated[
    Annotated[str, Tag("<string>")]
    | Annotated[tuple[Part, ...], Field(max_length=MAX_PARTS, fail_fast=True), Tag("<parts>")],
    Discriminator(
        _tag_of_content,
        custom_error_type="content_type",
        custom_error_message="must be a string, or a list of parts of type 'input_text'",
    ),
]


class MessageItem(RequestModel):
    """What somebody says."""

    type: Literal["message"] | None = None
    id: Id | None = None
    role: Literal["user", "assistant", "system", "developer"]
    content: Content
    status: Id | None = None

    @property
    def text(self) -> str:
        """The content as one string; parts become lines."""
        return text_of(self.content)


class FunctionCallItem(RequestModel):
    """A function that the model has called. Its arguments may be no JSON."""

    type: Literal["function_call"]
    id: Id | None = None
    call_id: Id
    name: Id
    arguments: str
    status: Id | None = None


class FunctionCallOutputItem(RequestModel):
    """What a function has returned."""

    type: Literal["function_call_output"]
    id: Id | None = None
    call_id: Id
    output: Content
    status: Id | None = None

    @property
    def text(self) -> str:
        """The output as one string; parts become lines."""
        return text_of(self.output)


class ReasoningItem(RequestModel):
    """What the model has thought. Thoughts encrypted elsewhere cannot be read and do no harm."""

    type: Literal["reasoning"]
    id: Id | None = None
    summary: Annotated[tuple[Any, ...], Field(max_length=MAX_PARTS)] | None = None
    content: Annotated[tuple[Any, ...], Field(max_length=MAX_PARTS)] | None = None
    encrypted_content: str | None = None
    status: Id | None = None

    @property
    def text(self) -> str:
        """The thoughts, or their summary where that is all there is."""
        parts = self.content or self.summary or ()
        known = (part for part in parts if isinstance(part, dict))
        texts = (part.get("text") for part in known if part.get("type") in _THOUGHT_PARTS)
        return "\n".join(text for text in texts if isinstance(text, str))


class ItemReference(RequestModel):
    """Stands for an item that was sent or answered earlier and is stored."""

    type: Literal["item_reference"] | None = None
    id: Id


def text_of(content: str | tuple[TextPart | RefusalPart, ...]) -> str:
    """A content as one string; parts become lines."""
    return content if isinstance(content, str) else "\n".join(part.text for part in content)


def _tag_of_item(item: object) -> str | None:
    if not isinstance(item, dict):
        return None
    match item.get("type"):
        case None if "role" in item or "content" in item:
            return "<message>"
        case None if "id" in item:
            return "<item_reference>"
        case "message" | "function_call" | "function_call_output" | "reasoning" as kind:
            return f"<{kind}>"
        case "item_reference":
            return "<item_reference>"
    return None


Item = Annotated[
    Annotated[MessageItem, Tag("<message>")]
    | Annotated[FunctionCallItem, Tag("<function_call>")]
    | Annotated[FunctionCallOutputItem, Tag("<function_call_output>")]
    | Annotated[ReasoningItem, Tag("<reasoning>")]
    | Annotated[ItemReference, Tag("<item_reference>")],
    Discriminator(
        _tag_of_item,
        custom_error_type="item_type",
        custom_error_message=(
            "must be of type 'message', 'function_call', 'function_call_output', 'reasoning' or "
            "'item_reference': this server has no tools of its own"
        ),
    ),
]
Items = Annotated[tuple[Item, ...], Field(max_length=MAX_ITEMS, fail_fast=True)]


def _tag_of_input(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<items>" if isinstance(value, list) else None


Input = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Items, Tag("<items>")],
    Discriminator(
        _tag_of_input,
        custom_error_type="input_type",
        custom_error_message="must be a string, or a list of items",
    ),
]

STORED_ITEMS: Final[TypeAdapter[tuple[Item, ...]]] = TypeAdapter(tuple[Item, ...])
"""Reads items that the server itself has written."""
