"""POST /v1/messages without HTTP: chat, told in Anthropic's words.

An answer is a list of blocks: its thought, its text, the tools it calls. In a stream each block
begins, grows and stops before the next begins. An answer without any has one empty text, as clients
look for a first block.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tercet_server.protocol.common import FinishReason, Usage
from tercet_server.protocol.messages import CountTokensRequest, MessagesRequest
from tercet_server.protocol.messages_answer import (
    Added,
    AnsweredMessage,
    BlockDelta,
    BlockStart,
    BlockStop,
    Content,
    InputAdded,
    MessageDelta,
    MessageEnd,
    MessageEvent,
    MessageStart,
    MessageStop,
    MessageUsage,
    Ping,
    StopReason,
    TextAdded,
    TextContent,
    ThinkingAdded,
    ThinkingContent,
    ThinkingTokens,
    TokenCount,
    ToolUseContent,
)
from tercet_server.record import RequestRecord
from tercet_server.services.answers import Answers, Turn
from tercet_server.services.arguments import arguments_object
from tercet_server.services.chat import ChatService
from tercet_server.services.events import (
    AnswerEnd,
    AnswerEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.messages_request import chat_request, in_anthropics_words

_NO_TEXT: Final = TextContent(type="text", text="")


@dataclass(frozen=True, slots=True)
class MessagesService:
    """Answers conversations as Anthropic does."""

    chat: ChatService

    async def start(self, request: MessagesRequest, record: RequestRecord) -> "MessageInProgress":
        """Check, tokenise and admit a request. Whoever calls this must `close` what it returns.

        Raises:
            ServerError, EngineError: why it was not admitted.
        """
        with in_anthropics_words():
            answers = await self.chat.answer(chat_request(request), record)
        return MessageInProgress(answers, request.max_tokens)

    async def count(self, request: CountTokensRequest, record: RequestRecord) -> TokenCount:
        """Tokens of the prompt that a conversation becomes. Raises what `start` raises."""
        with in_anthropics_words():
            prompt = await self.chat.prompt(chat_request(request))
        record.num_prompt_tokens = len(prompt.tokens)
        return TokenCount(input_tokens=len(prompt.tokens))


class MessageInProgress:
    """An answer as a message: read it by `chunks` or wait for `response`."""

    def __init__(self, answers: Answers, max_tokens: int) -> None:
        self._answers = answers
        self._max_tokens = max_tokens
        self._id = f"msg_{uuid.uuid4().hex}"

    async def chunks(self) -> AsyncIterator[MessageEvent]:
        """The message without content, its blocks one after the other, why it ended."""
        yield MessageStart(type="message_start", message=self._message([], None))
        yield Ping(type="ping")
        blocks = BlockWriter()
        async for event in self._answers.events():
            for told in blocks.events(event):
                yield told
            if isinstance(event, AnswerEnd):
                yield MessageDelta(
                    type="message_delta",
                    delta=self._end(event.finish_reason, calls=blocks.has_calls),
                    usage=self._usage(),
                )
        yield MessageStop(type="message_stop")

    async def response(self) -> AnsweredMessage:
        """The whole answer."""
        [turn] = await self._answers.finish()
        end = self._end(turn.finish_reason, calls=bool(turn.tool_calls))
        return self._message(list(_contents(turn)) or [_NO_TEXT], end)

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._answers.close()

    def _message(self, content: list[Content], end: MessageEnd | None) -> AnsweredMessage:
        return AnsweredMessage(
            id=self._id,
            type="message",
            role="assistant",
            model=self._answers.model,
            content=content,
            stop_reason=end.stop_reason if end else None,
            stop_sequence=end.stop_sequence if end else None,
            usage=self._usage() if end else self._usage().model_copy(update={"output_tokens": 0}),
        )

    def _end(self, reason: FinishReason, *, calls: bool) -> MessageEnd:
        stop_string = self._answers.stop_string(0)
        stop_reason: StopReason
        if reason == "length":
            is_cut = self._answers.usage().completion_tokens >= self._max_tokens
            stop_reason = "max_tokens" if is_cut else "model_context_window_exceeded"
        elif stop_string is not None:
            stop_reason = "stop_sequence"
        else:
            stop_reason = "tool_use" if calls else "end_turn"
        is_told = stop_reason == "stop_sequence"
        return MessageEnd(stop_reason=stop_reason, stop_sequence=stop_string if is_told else None)

    def _usage(self) -> MessageUsage:
        usage: Usage = self._answers.usage()
        num_cached = usage.prompt_tokens_details.cached_tokens
        details: dict[str, Any] = {}
        if usage.completion_tokens_details:
            num_thinking = usage.completion_tokens_details.reasoning_tokens
            details["output_tokens_details"] = ThinkingTokens(thinking_tokens=num_thinking)
        return MessageUsage(
            input_tokens=usage.prompt_tokens - num_cached,
            cache_creation_input_tokens=0,
            cache_read_input_tokens=num_cached,
            output_tokens=usage.completion_tokens,
            **details,
        )


class BlockWriter:
    """Tells what happens in one answer as blocks that begin, grow and stop."""

    def __init__(self) -> None:
        self._num_blocks = 0
        self._open: type[AnswerEvent] | None = None
        """The kind of event that the last block grows by, while it may."""
        self.has_calls = False
        """Whether a tool was called."""

    def events(self, event: AnswerEvent) -> Iterator[MessageEvent]:
        """What one event becomes."""
        match event:
            case ReasoningDelta(text=text):
                empty = ThinkingContent(type="thinking", thinking="", signature="")
                yield from self._begin(ReasoningDelta, empty)
                yield self._grow(ThinkingAdded(type="thinking_delta", thinking=text))
            case TextDelta(text=text):
                yield from self._begin(TextDelta, _NO_TEXT)
                yield self._grow(TextAdded(type="text_delta", text=text))
            case ToolCallStart(id=call_id, name=name):
                yield from self._stop()
                yield from self._begin(ToolCallArguments, _tool_use(call_id, name, {}))
                self.has_calls = True
            case ToolCallArguments(text=text):
                yield self._grow(InputAdded(type="input_json_delta", partial_json=text))
            case AnswerEnd():
                if not self._num_blocks:
                    yield from self._begin(TextDelta, _NO_TEXT)
                yield from self._stop()

    def _begin(self, kind: type[AnswerEvent], empty: Content) -> Iterator[MessageEvent]:
        """Begin a block of a kind, unless one is open."""
        if self._open is kind:
            return
        yield from self._stop()
        self._open = kind
        self._num_blocks += 1
        index = self._num_blocks - 1
        yield BlockStart(type="content_block_start", index=index, content_block=empty)

    def _grow(self, added: Added) -> BlockDelta:
        return BlockDelta(type="content_block_delta", index=self._num_blocks - 1, delta=added)

    def _stop(self) -> Iterator[MessageEvent]:
        if self._open:
            yield BlockStop(type="content_block_stop", index=self._num_blocks - 1)
        self._open = None


def _contents(turn: Turn) -> Iterator[Content]:
    if turn.reasoning:
        yield ThinkingContent(type="thinking", thinking=turn.reasoning, signature="")
    if turn.text:
        yield TextContent(type="text", text=turn.text)
    for call in turn.tool_calls:
        yield _tool_use(call.id, call.name, arguments_object(call.arguments))


def _tool_use(call_id: str, name: str, arguments: dict[str, Any]) -> ToolUseContent:
    own_id = f"toolu_{call_id.removeprefix('call_')}"
    return ToolUseContent(type="tool_use", id=own_id, name=name, input=arguments)
