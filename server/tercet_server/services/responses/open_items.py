"""Items of the output while they grow. Their events are numbered by whoever sends them."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Final, Literal

from typing_extensions import override

from tercet_server.protocol.responses.events import (
    ArgumentsDeltaEvent,
    ArgumentsDoneEvent,
    ItemEvent,
    PartEvent,
    ReasoningDeltaEvent,
    ReasoningDoneEvent,
    StreamEvent,
    TextDeltaEvent,
    TextDoneEvent,
)
from tercet_server.protocol.responses.objects import (
    ContentPart,
    ItemStatus,
    OutputFunctionCall,
    OutputItem,
    OutputLogprob,
    OutputMessage,
    OutputReasoning,
    OutputText,
    ReasoningText,
)

_UNNUMBERED: Final = -1
Moment = Literal["added", "done"]


class OpenItem(ABC):
    """An item that is being written.

    Args:
        item_id: of the item.
        output_index: its place in the output.
    """

    prefix: ClassVar[str]
    """Of its id."""

    def __init__(self, item_id: str, output_index: int) -> None:
        self._id = item_id
        self._place: dict[str, Any] = {
            "sequence_number": _UNNUMBERED,
            "item_id": item_id,
            "output_index": output_index,
        }
        self._texts: list[str] = []
        self._logprobs: list[OutputLogprob] = []

    def begin(self) -> list[StreamEvent]:
        """It is there, empty."""
        return [self._item("added", self._snapshot("in_progress", [])), *self._parts("added")]

    def grow(self, text: str, logprobs: list[OutputLogprob]) -> StreamEvent:
        """It has gained text."""
        self._texts.append(text)
        self._logprobs += logprobs
        return self._delta(text, logprobs)

    def end(self, *, is_cut: bool) -> list[StreamEvent]:
        """It is as long as it will be."""
        return [
            self._text_done("".join(self._texts)),
            *self._parts("done"),
            self._item("done", self.whole(is_cut=is_cut)),
        ]

    def whole(self, *, is_cut: bool) -> OutputItem:
        """The item as it ended."""
        return self._snapshot("incomplete" if is_cut else "completed", self._content())

    def _item(self, moment: Moment, item: OutputItem) -> StreamEvent:
        kind: Any = f"response.output_item.{moment}"
        return ItemEvent(
            type=kind,
            sequence_number=_UNNUMBERED,
            output_index=self._place["output_index"],
            item=item,
        )

    def _parts(self, moment: Moment) -> list[StreamEvent]:
        kind: Any = f"response.content_part.{moment}"
        return [
            PartEvent(type=kind, content_index=0, part=part, **self._place)
            for part in self._content()
        ]

    @abstractmethod
    def _content(self) -> list[ContentPart]:
        """Its parts up to now: one, or none at all."""

    @abstractmethod
    def _snapshot(self, status: ItemStatus, parts: list[Any]) -> OutputItem:
        """The item with these parts."""

    @abstractmethod
    def _delta(self, text: str, logprobs: list[OutputLogprob]) -> StreamEvent:
        """The event of text gained."""

    @abstractmethod
    def _text_done(self, text: str) -> StreamEvent:
        """The event of its text being whole."""


class OpenMessage(OpenItem):
    """What the assistant says."""

    prefix = "msg"

    @override
    def _content(self) -> list[ContentPart]:
        text, scores = "".join(self._texts), list(self._logprobs)
        return [OutputText(type="output_text", text=text, annotations=[], logprobs=scores)]

    @override
    def _snapshot(self, status: ItemStatus, parts: list[Any]) -> OutputItem:
        return OutputMessage(
            id=self._id, type="message", role="assistant", status=status, content=parts
        )

    @override
    def _delta(self, text: str, logprobs: list[OutputLogprob]) -> StreamEvent:
        return TextDeltaEvent(
            type="response.output_text.delta",
            content_index=0,
            delta=text,
            logprobs=logprobs,
            **self._place,
        )

    @override
    def _text_done(self, text: str) -> StreamEvent:
        return TextDoneEvent(
            type="response.output_text.done",
            content_index=0,
            text=text,
            logprobs=list(self._logprobs),
            **self._place,
        )


class OpenReasoning(OpenItem):
    """What the model thinks."""

    prefix = "rs"

    @override
    def _content(self) -> list[ContentPart]:
        return [ReasoningText(type="reasoning_text", text="".join(self._texts))]

    @override
    def _snapshot(self, status: ItemStatus, parts: list[Any]) -> OutputItem:
        return OutputReasoning(
            id=self._id, type="reasoning", status=status, summary=[], content=parts
        )

    @override
    def _delta(self, text: str, logprobs: list[OutputLogprob]) -> StreamEvent:
        kind: Any = "response.reasoning_text.delta"
        return ReasoningDeltaEvent(type=kind, content_index=0, delta=text, **self._place)

    @override
    def _text_done(self, text: str) -> StreamEvent:
        kind: Any = "response.reasoning_text.done"
        return ReasoningDoneEvent(type=kind, content_index=0, text=text, **self._place)


class OpenCall(OpenItem):
    """A function that is to be called. It has no parts.

    Args:
        item_id: of the item.
        output_index: its place in the output.
        call_id: by which the client will refer to the call.
        name: of the function.
    """

    prefix = "fc"

    def __init__(self, item_id: str, output_index: int, call_id: str, name: str) -> None:
        super().__init__(item_id, output_index)
        self._call_id = call_id
        self._name = name

    @override
    def _content(self) -> list[ContentPart]:
        return []

    @override
    def _snapshot(self, status: ItemStatus, parts: list[Any]) -> OutputItem:
        return OutputFunctionCall(
            id=self._id,
            type="function_call",
            status=status,
            call_id=self._call_id,
            name=self._name,
            arguments="".join(self._texts),
        )

    @override
    def _delta(self, text: str, logprobs: list[OutputLogprob]) -> StreamEvent:
        kind: Any = "response.function_call_arguments.delta"
        return ArgumentsDeltaEvent(type=kind, delta=text, **self._place)

    @override
    def _text_done(self, text: str) -> StreamEvent:
        return ArgumentsDoneEvent(
            type="response.function_call_arguments.done",
            name=self._name,
            arguments=text,
            **self._place,
        )
