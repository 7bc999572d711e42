"""The central loop, one step at a time. No threads, no text: same calls, same tokens."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol

from tercet_engine.batch import Batch, make_batch
from tercet_engine.block_pool import BlockPool
from tercet_engine.completion import FinishReason
from tercet_engine.config import EngineConfig
from tercet_engine.scheduler import Advance, Scheduler
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_engine.stats import Counters, EngineStats


class Runner(Protocol):
    """Computes batches: the model, or something that behaves like one."""

    @property
    def num_blocks(self) -> int:
        """Blocks of the KV cache."""

    def run(self, batch: Batch) -> Sequence[int]:
        """Compute a batch and draw one token for each of its outputs."""

    def close(self) -> None:
        """Give back threads and memory."""


class TokenOutput(NamedTuple):
    """One token of one sequence, as a step leaves it."""

    sequence_id: int
    token: int
    finish_reason: FinishReason | None
    num_cached_tokens: int


class EngineCore:
    """Takes sequences in and advances them together, one batch per step.

    Args:
        runner: the model.
        config: the engine's bounds.
        clock: seconds. How long steps take decides what goes into the next ones, and no token.
    """

    def __init__(
        self,
        runner: Runner,
        config: EngineConfig,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._pool = BlockPool(runner.num_blocks, config.block_size)
        self._scheduler = Scheduler(
            self._pool,
            max_batch_tokens=config.max_batch_tokens,
            max_sequences=config.max_sequences,
            prefix_cache=config.prefix_cache,
            max_outputs=0 if config.speculation == "off" else config.max_batch_outputs,
            max_step_seconds=config.max_step_ms / 1000,
        )
        self._counters = Counters()

    @property
    def has_work(self) -> bool:
        """Whether a step would compute anything."""
        return bool(self._scheduler.num_running or self._scheduler.num_waiting)

    def add(self, sequences: Iterable[TokenSequence]) -> None:
        """Put sequences at the end of the waiting line."""
        for seq in sequences:
            self._scheduler.add(seq)
            self._counters.num_prompt_tokens += seq.num_prompt_tokens

    def end(self, seq: TokenSequence, reason: FinishReason) -> None:
        """Compute no more of a sequence; does nothing if it has already ended."""
        if self._scheduler.abort(seq):
            self._counters.num_aborted += reason is FinishReason.ABORT
            self._counters.num_finished += reason is not FinishReason.ABORT

    def step(self) -> list[TokenOutput]:
        """Compute one batch. Does nothing when there is nothing to compute."""
        chunks = self._scheduler.schedule()
        if not chunks:
            return []
        batch = make_batch(chunks)
        start = self._clock()
        tokens = self._runner.run(batch)
        self._scheduler.observe(self._clock() - start)
        self._counters.num_steps += 1
        self._counters.num_computed_tokens += self._scheduler.num_tokens_in_step
        advances = self._scheduler.update(chunks, tokens)
        outputs: list[TokenOutput] = []
        for advance in advances:
            outputs += self._outputs(advance)
        return outputs

    def stats(self) -> EngineStats:
        """Look at the engine; safe from any thread."""
        counters = self._counters
        return EngineStats(
            num_running=self._scheduler.num_running,
            num_waiting=self._scheduler.num_waiting,
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
        )

    def check_invariants(self) -> None:
        """Raise `AssertionError` unless every block is accounted for."""
        self._scheduler.check_invariants()

    def close(self) -> None:
        """Give back the runner's threads and memory."""
        self._runner.close()

    def _outputs(self, advance: Advance) -> list[TokenOutput]:
        """The tokens that a sequence got, of which the last may be its end."""
        seq, _, num_tokens = advance
        num_cached = seq.num_cached_tokens or 0
        self._counters.num_generated_tokens += num_tokens
        if seq.num_generated_tokens == num_tokens:
            self._counters.num_cached_tokens += num_cached
        if seq.finish_reason:
            self._counters.num_finished += 1
        last = TokenOutput(seq.id, seq.tokens[-1], seq.finish_reason, num_cached)
        if num_tokens == 1:
            return [last]
        earlier = seq.tokens[-num_tokens:-1]
        return [*(TokenOutput(seq.id, token, None, num_cached) for token in earlier), last]
