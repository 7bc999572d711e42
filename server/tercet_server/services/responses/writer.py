"""What an assistant does, as the events of a stream and as the response they add up to.

At most one item is open at a time. It is closed by the first event that belongs to another.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tercet_engine import TokenLogprobs
from tercet_server.errors import ErrorReply
from tercet_server.protocol.common import FinishReason, Usage
from tercet_server.protocol.responses.events import Lifecycle, StreamEvent
from tercet_server.protocol.responses.objects import (
    IncompleteDetails,
    InputTokensDetails,
    OutputItem,
    OutputLogprob,
    OutputTokensDetails,
    ResponseFailure,
    ResponseObject,
    ResponseUsage,
    TopTokenLogprob,
)
from tercet_server.services.events import (
    AnswerEnd,
    AnswerEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.logprobs import LogprobWriter
from tercet_server.services.responses.open_items import (
    OpenCall,
    OpenItem,
    OpenMessage,
    OpenReasoning,
)

ITEM_ID_DIGITS: Final = 4
"""Behind the digits of the response, so that an item's id tells where it is stored."""


class ResponseWriter:
    """Writes one response.

    Args:
        head: the response as it begins.
        num_inputs: items that the client sent; those of the output are numbered behind them.
        logprobs: knows the tokens' texts; None: log-probabilities were not asked for.
    """

    def __init__(
        self, head: ResponseObject, num_inputs: int, logprobs: LogprobWriter | None
    ) -> None:
        self._head = head
        self._num_inputs = num_inputs
        self._logprobs = logprobs
        self._num_events = 0
        self._output: list[OutputItem] = []
        self._open: OpenItem | None = None
        self._reason: FinishReason = "stop"

    def begin(self) -> Iterator[StreamEvent]:
        """The response is there."""
        yield self._lifecycle("response.created", self._head)
        if self._head.status == "queued":
            yield self._lifecycle("response.queued", self._head)
            self._head = self._head.model_copy(update={"status": "in_progress"})
        yield self._lifecycle("response.in_progress", self._head)

    def add(self, event: AnswerEvent) -> Iterator[StreamEvent]:
        """The assistant has done something."""
        match event:
            case ReasoningDelta(text=text):
                yield from self._opened(OpenReasoning)
                yield from self._grown(text)
            case TextDelta(text=text):
                yield from self._opened(OpenMessage)
                yield from self._grown(text, event.logprobs)
            case ToolCallStart():
                yield from self._close()
                call = OpenCall(self._item_id("fc"), len(self._output), event.id, event.name)
                yield from self._begin(call)
            case ToolCallArguments(text=text):
                yield from self._grown(text)
            case AnswerEnd(finish_reason=reason):
                self._reason = reason

    def end(self, usage: Usage) -> Iterator[StreamEvent]:
        """The answer is whole, or as long as it may be."""
        is_cut = self._reason == "length"
        if self._open is None and not self._output:
            yield from self._opened(OpenMessage)
        yield from self._close(is_cut=is_cut)
        if is_cut:
            details = IncompleteDetails(reason="max_output_tokens")
            response = self._final("incomplete", usage, incomplete_details=details)
            yield self._lifecycle("response.incomplete", response)
        else:
            response = self._final("completed", usage, completed_at=int(time.time()))
            yield self._lifecycle("response.completed", response)

    def fail(self, reply: ErrorReply, usage: Usage) -> Lifecycle:
        """There will be no answer."""
        response = self._final("failed", usage, error=_failure(reply))
        return self._lifecycle("response.failed", response)

    def cancel(self, usage: Usage) -> Lifecycle:
        """The answer is no longer wanted. There is no event of that name; the status tells it."""
        return self._lifecycle("response.incomplete", self._final("cancelled", usage))

    def snapshot(self) -> ResponseObject:
        """The response with the items that are whole by now."""
        return self._head.model_copy(update={"output": list(self._output)})

    def _opened(self, kind: type[OpenMessage | OpenReasoning]) -> Iterator[StreamEvent]:
        if not isinstance(self._open, kind):
            yield from self._close()
            yield from self._begin(kind(self._item_id(kind.prefix), len(self._output)))

    def _begin(self, item: OpenItem) -> Iterator[StreamEvent]:
        self._open = item
        yield from self._numbered(item.begin())

    def _grown(self, text: str, scores: Sequence[TokenLogprobs] = ()) -> Iterator[StreamEvent]:
        if self._open is not None:
            logprobs = self._scored(scores)
            yield from self._numbered([self._open.grow(text, logprobs)])

    def _close(self, *, is_cut: bool = False) -> Iterator[StreamEvent]:
        if self._open is not None:
            yield from self._numbered(self._open.end(is_cut=is_cut))
            self._output.append(self._open.whole(is_cut=is_cut))
            self._open = None

    def _scored(self, scores: Sequence[TokenLogprobs]) -> list[OutputLogprob]:
        if self._logprobs is None:
            return []
        return [
            OutputLogprob(
                token=entry.token,
                logprob=entry.logprob,
                bytes=entry.bytes or [],
                top_logprobs=[
                    TopTokenLogprob(token=top.token, logprob=top.logprob, bytes=top.bytes or [])
                    for top in entry.top_logprobs
                ],
            )
            for entry in self._logprobs.chat(scores).content
        ]

    def _item_id(self, prefix: str) -> str:
        number = self._num_inputs + len(self._output)
        return item_id(prefix, self._head.id, number)

    def _lifecycle(self, kind: Any, response: ResponseObject) -> Lifecycle:
        event = Lifecycle(type=kind, sequence_number=self._num_events, response=response)
        self._num_events += 1
        return event

    def _numbered(self, events: Sequence[StreamEvent]) -> Iterator[StreamEvent]:
        for event in events:
            yield event.model_copy(update={"sequence_number": self._num_events})
            self._num_events += 1

    def _final(self, status: str, usage: Usage, **fields: object) -> ResponseObject:
        own = {"status": status, "output": list(self._output), "usage": _usage(usage)}
        return self._head.model_copy(update={**own, **fields})


def item_id(prefix: str, response_id: str, number: int) -> str:
    """The id of an item: what it is, the response's digits, which of its items."""
    return f"{prefix}_{response_id.removeprefix('resp_')}{number:0{ITEM_ID_DIGITS}x}"


def _usage(usage: Usage) -> ResponseUsage:
    details = usage.completion_tokens_details
    return ResponseUsage(
        input_tokens=usage.prompt_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=usage.prompt_tokens_details.cached_tokens, cache_write_tokens=0
        ),
        output_tokens=usage.completion_tokens,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=details.reasoning_tokens if details else 0
        ),
        total_tokens=usage.total_tokens,
    )


def _failure(reply: ErrorReply) -> ResponseFailure:
    match reply.status:
        case 429:
            return ResponseFailure(code="rate_limit_exceeded", message=reply.message)
        case 400:
            return ResponseFailure(code="invalid_prompt", message=reply.message)
    return ResponseFailure(code="server_error", message=reply.message)
