"""The reader's end of a completion: tokens come in from the engine, deltas go out to a reader.

Text is made as the tokens arrive, not as they are read, so that a stop string ends the computation
however slow the reader is; what a slow reader has not yet taken is joined into one delta.
"""

import asyncio
from collections.abc import Callable
from typing import Self

import numpy as np
import numpy.typing as npt

from tercet_engine.completion import CompletionDelta, FinishReason, TokenLogprobs
from tercet_engine.detokenizer import Detokenizer
from tercet_engine.errors import EngineError

Float32Array = npt.NDArray[np.float32]


class CompletionStream:
    """An async iterator of `CompletionDelta`. Lives on the event loop's thread.

    Exactly one delta has a `finish_reason`, and it is the last. If the engine gives up the
    completion, the iterator raises the `EngineError` that says why. Whoever stops reading early
    must call `abort` (or `aclose`).
    """

    def __init__(
        self, num_prompt_tokens: int, detokenizer: Detokenizer, on_abort: Callable[[], None]
    ) -> None:
        self.num_prompt_tokens = num_prompt_tokens
        self.num_cached_tokens = 0
        """Prompt tokens found in the prefix cache; known from the first delta on."""
        self.num_generated_tokens = 0
        """Tokens generated up to now, read or not, the end token included."""
        self.prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()
        """One for each prompt token if they were asked for, None where there is nothing to tell, as
        of the first; known from the first delta on."""
        self.embedding: Float32Array | None = None
        """The pooled hidden states, float32 [hidden_size], if asked for; known at the end."""
        self.queue_seconds: float | None = None
        """How long it waited for its first step; known once it is in it."""
        self._detokenizer = detokenizer
        self._on_abort = on_abort
        self._text: list[str] = []
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprobs] = []
        self._finish_reason: FinishReason | None = None
        self._error: EngineError | None = None
        self._is_exhausted = False
        self._has_news = asyncio.Event()
        self._waits_no_more = asyncio.Event()

    @property
    def has_started(self) -> bool:
        """Whether the prompt has been computed."""
        return self.num_generated_tokens > 0 or self._finish_reason is not None

    @property
    def stop_string(self) -> str | None:
        """The stop string that has ended the text, if one did; known from the last delta on."""
        return self._detokenizer.stop_string

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come from the engine."""
        return self._is_exhausted or bool(self._finish_reason or self._error)

    async def until_started(self) -> None:
        """Wait until the first step begins, or until there will be none.

        Raises:
            EngineError: the completion was given up meanwhile.
        """
        await self._waits_no_more.wait()
        if self._error and not self.has_started:
            raise self._error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CompletionDelta:
        while not (self._tokens or self.has_ended):
            self._has_news.clear()
            await self._has_news.wait()
        if self._error:
            raise self._error
        if self._is_exhausted:
            raise StopAsyncIteration
        delta = CompletionDelta(
            "".join(self._text), tuple(self._tokens), self._finish_reason, tuple(self._logprobs)
        )
        self._text.clear()
        self._tokens.clear()
        self._logprobs.clear()
        self._is_exhausted = self._finish_reason is not None
        return delta

    def abort(self) -> None:
        """End the completion now; the iterator stops. Does nothing once it has ended."""
        if not self.has_ended:
            self._is_exhausted = True
            self._has_news.set()
            self._waits_no_more.set()
            self._on_abort()

    async def aclose(self) -> None:
        """The same as `abort`."""
        self.abort()

    def start(self, queue_seconds: float) -> None:
        """The first step begins. Called by the engine."""
        self.queue_seconds = queue_seconds
        self._waits_no_more.set()

    def push(
        self,
        token: int,
        finish_reason: FinishReason | None,
        num_cached_tokens: int,
        logprobs: TokenLogprobs | None = None,
    ) -> None:
        """Take in one token. Called by the engine.

        After it `has_ended` may be true although the engine gave no reason: a stop string did.
        """
        self.num_generated_tokens += 1
        self.num_cached_tokens = num_cached_tokens
        self._tokens.append(token)
        if logprobs:
            self._logprobs.append(logprobs)
        is_end = finish_reason is FinishReason.STOP
        self._text.append(self._detokenizer.end(token) if is_end else self._detokenizer.push(token))
        if finish_reason:
            self._text.append(self._detokenizer.finish())
        self._finish_reason = FinishReason.STOP if self._detokenizer.is_stopped else finish_reason
        self._has_news.set()

    def end_without_token(self, num_cached_tokens: int) -> None:
        """The prompt is computed and nothing was to be generated. Called by the engine."""
        self.num_cached_tokens = num_cached_tokens
        self._finish_reason = FinishReason.LENGTH
        self._has_news.set()

    def fail(self, error: EngineError) -> None:
        """End the completion with an error. Called by the engine."""
        if not self.has_ended:
            self._error = error
            self._has_news.set()
            self._waits_no_more.set()
