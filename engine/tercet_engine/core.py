"""The central loop, one step at a time. No threads, no text: same calls, same tokens."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from tercet_engine.batch import Batch, make_batch
from tercet_engine.block_pool import BlockPool
from tercet_engine.completion import FinishReason, TokenLogprobs
from tercet_engine.config import EngineConfig
from tercet_engine.constraints import HeldSequences, ask, masks_of, tell
from tercet_engine.errors import EngineError, GrammarFailed
from tercet_engine.grammar import Mask
from tercet_engine.histogram import POWERS_OF_TWO, SECONDS_OF_A_TOKEN, Histogram
from tercet_engine.prompt_results import (
    Float32Array,
    embedding,
    keep_hidden_states,
    keep_scores,
)
from tercet_engine.scheduler import Advance, Chunk, Scheduler
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_engine.stats import Counters, EngineStats
from tercet_engine.step_result import StepResult

_logger = logging.getLogger(__name__)

_MAX_IDLE_SECONDS = 0.02
"""In which an engine that has nothing to compute but what is held reads no letters."""
_MAX_IDLE_MATCHERS = 4
"""New matchers, of up to 30 MB, that are being made or wait for a slot. However many completions
are held, they add no more than these to the matchers of slots and of grammars that are kept."""


class Runner(Protocol):
    """Computes batches: the model, or something that behaves like one."""

    @property
    def num_blocks(self) -> int:
        """Blocks of the KV cache."""

    def run(self, batch: Batch) -> StepResult:
        """Compute a batch and draw or score one token for each of its outputs.

        Raises:
            ValueError: a sequence's parameters or tokens are none that it can compute; nothing was
                drawn.
        """

    def head_stats(self) -> Mapping[str, int]:
        """How tokens were drawn so far, see `_core.Model.head_stats`; empty if that is unknown."""

    def close(self) -> None:
        """Give back threads and memory."""


class TokenOutput(NamedTuple):
    """One token of one sequence, as a step leaves it; or its end without one.

    Attributes:
        token: None where nothing was to be generated, and with an `error`.
        logprobs: if they were asked for.
        prompt_logprobs: the same, with the first output of a sequence.
        embedding: float32 [hidden_size], if it was asked for, with the last output.
        error: why the sequence was given up.
    """

    sequence_id: int
    token: int | None
    finish_reason: FinishReason | None
    num_cached_tokens: int
    logprobs: TokenLogprobs | None = None
    prompt_logprobs: tuple[TokenLogprobs | None, ...] = ()
    embedding: Float32Array | None = None
    error: EngineError | None = None


class EngineCore:
    """Takes sequences in and advances them together, one batch per step.

    Args:
        runner: the model.
        config: the engine's bounds.
        clock: seconds. How long steps take decides what goes into the next ones, and no token.
        on_started: called before a step with the ids of the sequences whose first one it is.
    """

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        clock: Callable[[], float] = time.perf_counter,
        on_started: Callable[[list[int]], None] | None = None,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._on_started = on_started
        self._pool = BlockPool(runner.num_blocks, config.block_size)
        self._scheduler = Scheduler(
            self._pool,
            max_batch_tokens=config.max_batch_tokens,
            max_sequences=config.max_sequences,
            prefix_cache=config.prefix_cache,
            max_outputs=0 if config.speculation == "off" else config.max_batch_outputs,
            max_step_seconds=config.max_step_ms / 1000,
        )
        self._held = HeldSequences()
        self._counters = Counters()
        self._step_sequences = Histogram(POWERS_OF_TWO)
        self._step_tokens = Histogram(POWERS_OF_TWO)
        self._step_seconds = Histogram(SECONDS_OF_A_TOKEN)
        self._head_stats: Mapping[str, int] = {}  # as any thread may read it, the model never

    @property
    def has_work(self) -> bool:
        """Whether a step would compute anything."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting or self._held)

    def add(self, sequences: Iterable[TokenSequence]) -> None:
        """Put sequences at the end of the waiting line."""
        for seq in sequences:
            self._scheduler.add(seq)
            self._counters.num_prompt_tokens += seq.num_prompt_tokens

    def end(self, seq: TokenSequence, reason: FinishReason) -> None:
        """Compute no more of a sequence; does nothing if it has already ended."""
        if self._held.remove(seq):
            self._scheduler.resume(seq)
        if self._scheduler.abort(seq):
            self._counters.num_aborted += reason is FinishReason.ABORT
            self._counters.num_finished += reason is not FinishReason.ABORT

    def step(self) -> list[TokenOutput]:
        """Compute one batch. Does nothing when there is nothing to compute."""
        failures = self._ask_grammars()
        chunks = self._scheduler.schedule()
        if not chunks:
            return failures
        masks = masks_of(chunks)
        batch = make_batch(chunks, masks)
        self._start(chunks)
        start = self._clock()
        try:
            result = self._runner.run(batch)
        except ValueError:
            if refused := self._give_up_refused(chunks, masks):
                return failures + refused
            raise
        seconds = self._clock() - start
        self._scheduler.observe(seconds)
        self._step_seconds.observe(seconds)
        self._step_sequences.observe(len(chunks))
        self._step_tokens.observe(self._scheduler.num_tokens_in_step)
        self._head_stats = self._runner.head_stats()
        self._counters.num_steps += 1
        self._counters.num_computed_tokens += self._scheduler.num_tokens_in_step
        if batch.has_scores:
            keep_scores(batch, result)
        if result.hidden is not None:
            keep_hidden_states(chunks, result)
        drawn = batch.drawn_rows
        advances = self._scheduler.update(chunks, [result.tokens[row] for row in drawn])
        outputs: list[TokenOutput] = []
        for advance in advances:
            outputs += self._outputs(advance, drawn, result)
        if masks:
            tell(advance.seq for advance in advances)
        return outputs + failures

    def stats(self) -> EngineStats:
        """Look at the engine; safe from any thread."""
        counters = self._counters
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting + len(self._held),
            num_free_blocks=self._pool.num_free_blocks,
            num_blocks=self._pool.num_blocks,
            num_steps=counters.num_steps,
            num_prompt_tokens=counters.num_prompt_tokens,
            num_cached_tokens=counters.num_cached_tokens,
            num_computed_tokens=counters.num_computed_tokens,
            num_generated_tokens=counters.num_generated_tokens,
            num_finished=counters.num_finished,
            num_aborted=counters.num_aborted,
            num_preemptions=self._scheduler.num_preemptions,
            num_drafted_tokens=self._scheduler.num_drafted_tokens,
            num_accepted_tokens=self._scheduler.num_accepted_tokens,
            num_refused=0,
            head=self._head_stats,
            histograms={
                "step_sequences": self._step_sequences.counts(),
                "step_tokens": self._step_tokens.counts(),
                "step_seconds": self._step_seconds.counts(),
            },
        )

    def check_invariants(self) -> None:
        """Raise `AssertionError` unless every block is accounted for."""
        self._scheduler.check_invariants()

    def close(self) -> None:
        """Give back the runner's threads and memory."""
        self._runner.close()

    def _ask_grammars(self) -> list[TokenOutput]:
        """See that all who are here know what they may draw; hold or give up those who do not."""
        is_idle = not (self._scheduler.num_running or self._scheduler.num_waiting)
        for seq in self._held.take_ready(_MAX_IDLE_SECONDS if is_idle else 0):
            self._scheduler.resume(seq)
        unknown = ask(self._scheduler.sequences())
        for seq in unknown.held:
            self._scheduler.set_aside(seq)
            self._held.add(seq)
        self._held.begin(_MAX_IDLE_MATCHERS - self._scheduler.num_resumed)
        return [self._give_up(seq, GrammarFailed()) for seq in unknown.failed]

    def _start(self, chunks: Iterable[Chunk]) -> None:
        """Tell of the sequences that wait no longer."""
        started = [chunk.seq for chunk in chunks if not chunk.seq.is_started]
        for seq in started:
            seq.is_started = True
        if started and self._on_started:
            self._on_started([seq.id for seq in started])

    def _give_up_refused(
        self, chunks: Sequence[Chunk], masks: Mapping[int, Mask]
    ) -> list[TokenOutput]:
        """Find whom the runner refuses by themselves; the others are computed in the next step.

        Whatever it refuses should have been refused at the door; what slips through must not cost
        others their answers.
        """
        self._scheduler.forget(chunks)
        refused = []
        for chunk in chunks:
            try:
                self._runner.run(make_batch([chunk._replace(draft=())], masks))
            except ValueError as error:
                _logger.warning("a sequence cannot be computed: %s", error)
                refused.append(self._give_up(chunk.seq, EngineError(str(error))))
        return refused

    def _give_up(self, seq: TokenSequence, error: EngineError) -> TokenOutput:
        self.end(seq, FinishReason.ABORT)
        return TokenOutput(seq.id, None, None, seq.num_cached_tokens or 0, error=error)

    def _outputs(
        self, advance: Advance, rows: Sequence[int], result: StepResult
    ) -> list[TokenOutput]:
        """The tokens that a sequence got, of which the last may be its end."""
        seq, first_row, num_tokens = advance
        num_cached = seq.num_cached_tokens or 0
        is_first = seq.num_generated_tokens == num_tokens
        self._counters.num_generated_tokens += num_tokens
        if is_first:
            self._counters.num_cached_tokens += num_cached
        if seq.finish_reason:
            self._counters.num_finished += 1
        tokens: list[int | None] = [*seq.tokens[len(seq.tokens) - num_tokens :]] or [None]
        outputs = [TokenOutput(seq.id, token, None, num_cached) for token in tokens]
        if (num_top := seq.params.logprobs) is not None:
            for index in range(num_tokens):
                scores = result.logprobs(rows[first_row + index], num_top)
                outputs[index] = outputs[index]._replace(logprobs=scores)
        if is_first and seq.prompt_logprobs:
            outputs[0] = outputs[0]._replace(prompt_logprobs=tuple(seq.prompt_logprobs))
        if seq.finish_reason:
            outputs[-1] = outputs[-1]._replace(
                finish_reason=seq.finish_reason, embedding=embedding(seq)
            )
        return outputs
