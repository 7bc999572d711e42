"""The sequences of one request while they are computed: read together, counted, given up together.

Several choices come as they are generated, told apart by their index. Nothing is read ahead: what a
slow client has not taken waits in the engine's streams, joined into one piece for each.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from tercet_engine import (
    CompletionDelta,
    CompletionStream,
    EngineDraining,
    FinishReason,
    TokenLogprobs,
)
from tercet_server.errors import RequestTimedOut
from tercet_server.protocol.common import FinishReason as FinishReasonName
from tercet_server.protocol.common import PromptTokensDetails, Usage
from tercet_server.record import RequestRecord
from tercet_server.services.merged_streams import MergedStreams


@dataclass(frozen=True, slots=True)
class Piece:
    """What one choice has gained. `finish_reason` is in its last piece and no other.

    Attributes:
        token_ids: those that the text was made of, roughly: text may come after its tokens.
        logprobs: one for each of them, if they were asked for.
    """

    index: int
    text: str
    finish_reason: FinishReasonName | None
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """One whole choice."""

    text: str
    finish_reason: FinishReasonName
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


class Generation:
    """The completions of one request.

    Args:
        streams: in the order of the choices; those of one prompt stand together.
        choices_per_prompt: how many they are.
        timeout_seconds: after which the request is given up.
        record: is told what happens.
    """

    def __init__(
        self,
        streams: Sequence[CompletionStream],
        choices_per_prompt: int,
        timeout_seconds: float,
        record: RequestRecord,
    ) -> None:
        self._streams = streams
        self._choices_per_prompt = choices_per_prompt
        self._timeout_seconds = timeout_seconds
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._merged = MergedStreams(streams, deadline)
        self._record = record
        self._first_token_seconds: float | None = None

    @property
    def num_choices(self) -> int:
        """How many completions there are."""
        return len(self._streams)

    async def pieces(self) -> AsyncIterator[Piece]:
        """What is generated, as it comes.

        Raises:
            RequestTimedOut: the time is up.
            EngineDraining, EngineDead: the engine has given up.
        """
        held: dict[int, CompletionDelta] = {}  # tokens whose text is not complete yet
        try:
            async for index, news in self._merged:
                self._first_token_seconds = self._first_token_seconds or time.monotonic()
                reason = _name(news.finish_reason)
                if reason:
                    self._record.finish_reasons.append(reason)
                earlier = held.pop(index, None)
                delta = _joined(earlier, news) if earlier else news
                if delta.text or reason:
                    yield Piece(index, delta.text, reason, delta.token_ids, delta.logprobs)
                else:
                    held[index] = delta
        except TimeoutError:
            raise RequestTimedOut(self._timeout_seconds) from None

    async def finish(self) -> list[Finished]:
        """Wait for every choice to be whole. Raises what `pieces` raises."""
        pieces: list[list[Piece]] = [[] for _ in self._streams]
        async for piece in self.pieces():
            pieces[piece.index].append(piece)
        return list(map(_whole, pieces))

    async def until_started(self) -> None:
        """Wait until the first step of a completion begins.

        Raises:
            WaitedTooLong: it did not in time.
            EngineDraining, EngineDead: the engine has given up.
        """
        await self._streams[0].until_started()

    def prompt_logprobs(self, index: int) -> tuple[TokenLogprobs | None, ...]:
        """Of the prompt of a choice, if they were asked for; known from its first piece on."""
        return self._streams[index].prompt_logprobs

    def stop_string(self, index: int) -> str | None:
        """The stop string that has ended a choice, if one did; known from its last piece on."""
        return self._streams[index].stop_string

    def usage(self) -> Usage:
        """Tokens up to now. A prompt of several choices counts once."""
        prompts = self._streams[:: self._choices_per_prompt]
        num_prompt = sum(stream.num_prompt_tokens for stream in prompts)
        num_generated = sum(stream.num_generated_tokens for stream in self._streams)
        num_cached = sum(stream.num_cached_tokens for stream in prompts)
        return Usage(
            prompt_tokens=num_prompt,
            completion_tokens=num_generated,
            total_tokens=num_prompt + num_generated,
            prompt_tokens_details=PromptTokensDetails(cached_tokens=num_cached),
        )

    def close(self) -> None:
        """Give up what is still being computed, and note the numbers."""
        self._merged.close()
        self._note()

    def _note(self) -> None:
        usage, record = self.usage(), self._record
        record.num_prompt_tokens = usage.prompt_tokens
        record.num_cached_tokens = usage.prompt_tokens_details.cached_tokens
        record.num_generated_tokens = usage.completion_tokens
        waits = [s.queue_seconds for s in self._streams if s.queue_seconds is not None]
        if waits:
            record.queue_seconds = round(min(waits), 4)
        if (first := self._first_token_seconds) is not None:
            record.seconds_to_first_token = round(first - record.started_seconds, 4)
            elapsed = time.monotonic() - first
            if usage.completion_tokens > 1 and elapsed > 0:
                record.tokens_per_second = round((usage.completion_tokens - 1) / elapsed, 2)


def _joined(first: CompletionDelta, second: CompletionDelta) -> CompletionDelta:
    return CompletionDelta(
        first.text + second.text,
        first.token_ids + second.token_ids,
        second.finish_reason,
        first.logprobs + second.logprobs,
    )


def _whole(pieces: Sequence[Piece]) -> Finished:
    return Finished(
        "".join(piece.text for piece in pieces),
        next((piece.finish_reason for piece in reversed(pieces) if piece.finish_reason), "length"),
        tuple(token for piece in pieces for token in piece.token_ids),
        tuple(score for piece in pieces for score in piece.logprobs),
    )


def _name(reason: FinishReason | None) -> FinishReasonName | None:
    match reason:
        case None:
            return None
        case FinishReason.STOP:
            return "stop"
        case FinishReason.LENGTH:
            return "length"
        case FinishReason.ABORT:  # nobody aborts a stream that is read, but a shutdown
            raise EngineDraining
