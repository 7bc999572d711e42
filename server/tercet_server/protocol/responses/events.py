"""What a stream is made of. Every event is numbered, from 0 on.

response.created  response.in_progress
  response.output_item.added                          for each item of the output
    response.content_part.added                       messages and thoughts
      response.output_text.delta ... .done            or response.reasoning_text
    response.content_part.done
    response.function_call_arguments.delta ... .done  calls, which have no parts
  response.output_item.done
response.completed                                    or .incomplete, .failed
"""

from typing import Literal

from tercet_server.protocol.base import ResponseModel
from tercet_server.protocol.responses.objects import (
    ContentPart,
    OutputItem,
    OutputLogprob,
    ResponseObject,
)


class StreamEvent(ResponseModel):
    """The base of them all. `type` is also the event's name."""

    type: str
    sequence_number: int


class Lifecycle(StreamEvent):
    """The response has reached another status."""

    type: Literal[
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.completed",
        "response.incomplete",
        "response.failed",
    ]
    response: ResponseObject


class ItemEvent(StreamEvent):
    """An item begins, or is whole."""

    type: Literal["response.output_item.added", "response.output_item.done"]
    output_index: int
    item: OutputItem


class PartEvent(StreamEvent):
    """A part of an item begins, or is whole."""

    type: Literal["response.content_part.added", "response.content_part.done"]
    item_id: str
    output_index: int
    content_index: int
    part: ContentPart


class TextDeltaEvent(StreamEvent):
    """A message has gained text."""

    type: Literal["response.output_text.delta"]
    item_id: str
    output_index: int
    content_index: int
    delta: str
    logprobs: list[OutputLogprob]


class TextDoneEvent(StreamEvent):
    """A message's text is whole."""

    type: Literal["response.output_text.done"]
    item_id: str
    output_index: int
    content_index: int
    text: str
    logprobs: list[OutputLogprob]


class ReasoningDeltaEvent(StreamEvent):
    """Thoughts have gained text."""

    type: Literal["response.reasoning_text.delta"]
    item_id: str
    output_index: int
    content_index: int
    delta: str


class ReasoningDoneEvent(StreamEvent):
    """Thoughts are whole."""

    type: Literal["response.reasoning_text.done"]
    item_id: str
    output_index: int
    content_index: int
    text: str


class ArgumentsDeltaEvent(StreamEvent):
    """A call's arguments have gained text."""

    type: Literal["response.function_call_arguments.delta"]
    item_id: str
    output_index: int
    delta: str


class ArgumentsDoneEvent(StreamEvent):
    """A call's arguments are whole."""

    type: Literal["response.function_call_arguments.done"]
    item_id: str
    output_index: int
    name: str
    arguments: str
