"""The engine as the event loop sees it: submit requests, read streams.

Above this file there is text and asyncio; below it token ids and one thread. Everything here runs
on the event loop's thread but the methods `_post_...`, which the engine's thread calls and which do
no more than to post to the loop: one `call_soon_threadsafe` per step, whatever the number of
streams, and one more where sequences begin.
"""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from tercet_engine.block_pool import hash_salt
from tercet_engine.chat_template import ChatTemplate
from tercet_engine.completion import CompletionRequest, EngineInfo, FinishReason
from tercet_engine.completion_stream import CompletionStream
from tercet_engine.config import EngineConfig
from tercet_engine.core import EngineCore, Runner, TokenOutput
from tercet_engine.detokenizer import Detokenizer
from tercet_engine.engine_thread import Add, Check, End, EngineThread
from tercet_engine.errors import (
    EngineDead,
    EngineDraining,
    InvalidSamplingParams,
    InvalidToken,
    PromptEmpty,
    PromptTooLong,
)
from tercet_engine.grammar import Grammar, GrammarSpec
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.latencies import Latencies, Stopwatch
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_engine.stats import EngineStats
from tercet_engine.tokenizer import Tokenizer
from tercet_engine.waiting_line import WaitingLine

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Open:
    """A completion in progress: what the engine computes, and who reads it."""

    seq: TokenSequence
    stream: CompletionStream
    watch: Stopwatch


class AsyncEngine:
    """Serves completions. Made by `load_engine`; `close` it when done.

    Its methods belong to the event loop's thread, but for `stats`, which any thread may call, and
    `close`, which may also be called when the loop has ended.

    Args:
        runner: the model.
        config: the engine's bounds.
        info: what is being served.
        tokenizer: text to tokens and back.
        chat_template: messages to a prompt; None for a model that knows no chat.
    """

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        info: EngineInfo,
        tokenizer: Tokenizer,
        chat_template: ChatTemplate | None = None,
    ) -> None:
        capacity = runner.num_blocks * config.block_size
        assert info.max_context_tokens <= capacity, "a sequence must fit the KV cache alone"
        assert all(0 <= token < info.vocab_size for token in info.stop_token_ids)
        self.info = info
        self.tokenizer = tokenizer
        self.chat_template = chat_template
        self._config = config
        self._core = EngineCore(runner, config, on_started=self._post_started)
        self._grammars = GrammarCompiler(tokenizer, info.vocab_size, info.stop_token_ids)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._open: dict[int, _Open] = {}
        self._line = WaitingLine(config)
        self._latencies = Latencies()
        self._ids = itertools.count()
        self._refusal: type[EngineDraining | EngineDead] | None = None
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._is_dead = asyncio.Event()
        self._thread = EngineThread(
            self._core, on_outputs=self._post_outputs, on_death=self._post_death
        )

    def submit(
        self, requests: Sequence[CompletionRequest], *, is_patient: bool = False
    ) -> list[CompletionStream]:
        """Queue the sequences of one client's request: all of them, or none and an error.

        Args:
            requests: one for each sequence.
            is_patient: they may wait longer than `max_queue_seconds`.

        Raises:
            PromptEmpty, PromptTooLong, InvalidToken, InvalidSamplingParams, TooManyChoices: the
                request can never be served.
            EngineOverloaded: the waiting line is full; it says when to come back.
            EngineDraining, EngineDead: nothing more will be served.
        """
        self.check_accepting()
        sequences = [self._sequence(request) for request in requests]
        self._line.check(sequences, is_patient=is_patient)
        loop = self._bind(asyncio.get_running_loop())
        streams = list(map(self._open_stream, sequences, requests))
        self._thread.post(Add(sequences))
        if self._config.max_queue_seconds is not None and not is_patient:
            ids = [seq.id for seq in sequences]
            loop.call_later(self._config.max_queue_seconds, self._give_up_waiting, ids)
        return streams

    async def compile_grammar(
        self, spec: GrammarSpec, *, keep: bool = True, may_take_long: bool = True
    ) -> Grammar:
        """Compile a grammar for a request, or find it compiled.

        Args:
            spec: the grammar.
            keep: for the next request like it. Refusals are kept whatever this says.
            may_take_long: else it is refused where others would have to wait for it.

        Raises:
            InvalidGrammar: it is wrong, too large, or asks for what cannot be enforced.
            WaitedTooLong: others' grammars took all the time that it may wait.
        """
        return await self._grammars.compile(spec, keep=keep, may_take_long=may_take_long)

    def check_accepting(self) -> None:
        """Raise `EngineDraining` or `EngineDead` if nothing more will be served."""
        if self._refusal:
            raise self._refusal

    def check_line(self) -> None:
        """Raise `EngineOverloaded` if not even the smallest request would be taken just now."""
        self._line.check_smallest()

    def stats(self) -> EngineStats:
        """Look at the engine's counters."""
        stats = self._core.stats()
        refusals = {**self._line.refusals, "grammar_time": self._grammars.num_given_up}
        return dataclasses.replace(
            stats,
            num_refused=sum(refusals.values()),
            refusals=refusals,
            num_waiting_tokens=self._line.num_tokens,
            histograms={**stats.histograms, **self._latencies.counts()},
        )

    async def wait_until_dead(self) -> None:
        """Return once the engine has ended by an error; its streams have been told."""
        await self._is_dead.wait()

    async def drain(self, deadline_seconds: float) -> None:
        """Admit nothing more, let streams finish until the deadline, then end the others.

        The streams ended early raise `EngineDraining`.
        """
        self._refusal = self._refusal or EngineDraining
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline_seconds):
                await self._is_empty.wait()
        self._fail_streams(EngineDraining())

    def close(self) -> None:
        """End the engine's thread and give back its memory. Streams still open end by an error."""
        self._refusal = self._refusal or EngineDraining
        self._fail_streams(EngineDraining())
        self._grammars.close()
        self._thread.close()

    async def check_invariants(self) -> None:
        """Wait for the current step to end and raise `AssertionError` if a block is unaccounted.

        Raises:
            EngineDead: nobody is there to look.
        """
        if not self._thread.is_alive:
            raise EngineDead
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[AssertionError | None] = loop.create_future()

        def reply(error: AssertionError | None) -> None:
            loop.call_soon_threadsafe(answer.set_result, error)

        self._thread.post(Check(reply))
        if error := await answer:
            raise error

    def _sequence(self, request: CompletionRequest) -> TokenSequence:
        """Make a sequence of a request, or raise the error that says why it cannot be served."""
        tokens, params = list(request.prompt_tokens), request.params
        max_context, vocab_size = self.info.max_context_tokens, self.info.vocab_size
        if not tokens:
            raise PromptEmpty
        num_wanted = 1 if params.max_tokens is None else params.max_tokens
        if len(tokens) + num_wanted > max_context:
            raise PromptTooLong(len(tokens), params.max_tokens, max_context)
        for token in (min(tokens), max(tokens)):
            if not 0 <= token < vocab_size:
                raise InvalidToken(token, vocab_size)
        for name, ids in (
            ("logit_bias", params.logit_bias.keys()),
            ("stop_token_ids", params.stop_token_ids),
        ):
            for token in ids:
                if not 0 <= token < vocab_size:
                    rule = f"takes token ids from 0 to {vocab_size - 1}; got {token}"
                    raise InvalidSamplingParams(name, rule)
        if request.pooling and params.max_tokens != 0:
            raise InvalidSamplingParams("max_tokens", "must be 0 where an embedding is asked for")
        is_endless = params.ignore_eos and not request.grammar
        own_end_tokens = frozenset() if is_endless else self.info.stop_token_ids
        salt = request.cache_salt.encode("utf-8", "replace")
        return TokenSequence(
            id=next(self._ids),
            tokens=tokens,
            params=params,
            max_tokens=self._max_tokens(request),
            end_tokens=params.stop_token_ids | own_end_tokens,
            choice=request.choice,
            constraint=request.grammar.start() if request.grammar else None,
            pooling=request.pooling,
            priority=request.priority,
            cache_salt=salt and hash_salt(salt),
        )

    def _max_tokens(self, request: CompletionRequest) -> int:
        asked = request.params.max_tokens
        room = self.info.max_context_tokens - len(request.prompt_tokens)
        return room if asked is None else asked

    def _bind(self, loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
        assert not self._open or self._loop is loop, "streams belong to one event loop"
        self._loop = loop
        return loop

    def _open_stream(self, seq: TokenSequence, request: CompletionRequest) -> CompletionStream:
        detokenizer = Detokenizer(
            self.tokenizer,
            stop=seq.params.stop,
            include_stop=seq.params.include_stop,
            min_tokens=seq.params.min_tokens,
            strip_leading_space=request.strip_leading_space,
            shown={token: self.tokenizer.token_text(token) for token in request.shown_tokens},
        )
        end = partial(self._end, seq, FinishReason.ABORT)
        stream = CompletionStream(seq.num_prompt_tokens, detokenizer, end)
        self._open[seq.id] = _Open(seq, stream, Stopwatch(self._latencies))
        self._line.enter(seq)
        self._is_empty.clear()
        return stream

    def _end(self, seq: TokenSequence, reason: FinishReason) -> None:
        """End a completion on this side; the engine's thread follows before its next step."""
        self._thread.post(End(seq, reason))
        self._close_stream(seq)

    def _close_stream(self, seq: TokenSequence) -> None:
        stream = self._open.pop(seq.id).stream
        self._line.leave(seq, has_started=stream.has_started)
        if not self._open:
            self._is_empty.set()

    def _fail_streams(self, error: EngineDraining | EngineDead) -> None:
        for opened in list(self._open.values()):
            opened.stream.fail(error)
            self._end(opened.seq, FinishReason.ABORT)

    def _deliver(self, outputs: list[TokenOutput]) -> None:
        """Hand each stream its token. Streams that were aborted meanwhile are no longer known."""
        try:
            for output in outputs:
                if opened := self._open.get(output.sequence_id):
                    self._hand_over(opened, output)
        except Exception:
            # A stream that has missed a token would go on with a hole in its text.
            _logger.critical("tokens could not be handed to their streams", exc_info=True)
            self._refusal = EngineDead
            self._die()

    def _hand_over(self, opened: _Open, output: TokenOutput) -> None:
        seq, stream = opened.seq, opened.stream
        if output.error:
            stream.fail(output.error)
            self._close_stream(seq)
            return
        if not stream.has_started:
            self._line.start(seq)
        opened.watch.token()
        stream.prompt_logprobs = output.prompt_logprobs or stream.prompt_logprobs
        stream.embedding = output.embedding
        if output.token is None:
            stream.end_without_token(output.num_cached_tokens)
        else:
            stream.push(
                output.token, output.finish_reason, output.num_cached_tokens, output.logprobs
            )
        if stream.has_ended:
            opened.watch.finished()
        if output.finish_reason:
            self._close_stream(seq)
        elif stream.has_ended:  # by a stop string, of which the engine knows nothing
            self._end(seq, FinishReason.STOP)

    def _start(self, ids: list[int]) -> None:
        for sequence_id in ids:
            if opened := self._open.get(sequence_id):
                opened.watch.started()
                opened.stream.start(opened.watch.queue_seconds or 0.0)

    def _give_up_waiting(self, ids: list[int]) -> None:
        """Send a request away whose time in the line is up, unless a part of it has begun."""
        waiting = [opened for sequence_id in ids if (opened := self._open.get(sequence_id))]
        if not waiting or any(opened.seq.is_started for opened in waiting):
            return
        error = self._line.timed_out()
        for opened in waiting:
            opened.stream.fail(error)
            self._end(opened.seq, FinishReason.ABORT)

    def _die(self) -> None:
        self._fail_streams(EngineDead())
        self._is_dead.set()

    def _post_started(self, ids: list[int]) -> None:
        self._post(self._start, ids)

    def _post_outputs(self, outputs: list[TokenOutput]) -> None:
        self._post(self._deliver, outputs)

    def _post_death(self) -> None:
        self._refusal = EngineDead
        self._post(self._die)

    def _post(self, callback: Callable[..., None], *args: object) -> None:
        assert self._loop is not None, "nothing happens before the first submit"
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(callback, *args)
