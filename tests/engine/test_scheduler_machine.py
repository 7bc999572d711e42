"""Sequences come, are given up and computed in whatever order: hypothesis looks for one that errs.

After every step the books are held against what was really computed: who holds a block, who writes
to it, what it can be found by and what lies in it.
"""

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from typing_extensions import override

from tercet_engine.batch import Batch
from tercet_engine.block_pool import BlockPool, hash_block, hash_salt
from tercet_engine.completion import FinishReason
from tercet_engine.config import EngineConfig
from tercet_engine.core import EngineCore
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence
from tercet_engine.step_result import StepResult
from tests.oracle.toy_runner import ToyRunner, as_token, digest, toy_completion

MAX_PROMPT = 24
MAX_ANSWER = 10
SALTS = (b"", hash_salt(b"mine"), hash_salt(b"yours"))
END_TOKEN = 7


def as_repetitive_token(number: int) -> int:
    """Mostly 0, so that guesses are often right."""
    return {0: END_TOKEN, 1: 1}.get(number % 16, 0)


class WatchedRunner(ToyRunner):
    """Sees to it that nothing is written where another reads."""

    pool: BlockPool
    num_tokens = 0

    @override
    def run(self, batch: Batch) -> StepResult:
        written: list[int] = []
        for chunk, first in enumerate(batch.positions.tolist()):
            start, end = batch.chunk_starts[chunk : chunk + 2].tolist()
            places = range(first // self._block_size, -(-(first + end - start) // self._block_size))
            written += [int(batch.block_tables[chunk, place]) for place in places]
        assert len(set(written)) == len(written), "two sequences write to a block"
        for block in written:
            assert self.pool._ref_counts[block] == 1, "a block is written that others hold"
            assert self.pool._hashes[block] is None, "a block is written that others may find"
        self.num_tokens = int(batch.token_ids.size)
        return super().run(batch)

    def content(self, block: int) -> list[bytes]:
        start = block * self._block_size
        return self._keys[start : start + self._block_size]


class Ticks:
    """A clock by which every step takes a while."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._now = seconds, 0.0

    def __call__(self) -> float:
        self._now += self._seconds
        return self._now


class Scheduling(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.here: dict[int, Sequence] = {}
        self.known: dict[bytes, list[bytes]] = {}  # what a published block must hold, by its hash
        self.next_id = 0
        self.num_tokens_asked = 0

    @initialize(
        block_size=st.sampled_from([1, 2, 4, 8]),
        num_tokens=st.sampled_from([MAX_PROMPT + MAX_ANSWER, 48, 96]),
        max_sequences=st.integers(1, 6),
        more_tokens=st.sampled_from([0, 2, 8, 64]),
        prefix_cache=st.sampled_from([True, True, True, False]),
        speculation=st.sampled_from(["auto", "off"]),
        max_step_ms=st.sampled_from([0, 1, 100]),
        tick=st.sampled_from([1e-6, 0.02]),
        is_repetitive=st.booleans(),
    )
    def begin(
        self,
        *,
        block_size: int,
        num_tokens: int,
        max_sequences: int,
        more_tokens: int,
        tick: float,
        is_repetitive: bool,
        **fields: Any,
    ) -> None:
        self.block_size = block_size
        self.to_token = as_repetitive_token if is_repetitive else as_token
        num_blocks = -(-num_tokens // block_size)
        config = EngineConfig(
            max_batch_tokens=max_sequences + more_tokens,
            max_sequences=max_sequences,
            block_size=block_size,
            **fields,
        )
        self.runner = WatchedRunner(num_blocks, block_size, self.to_token)
        self.core = EngineCore(self.runner, config, Ticks(tick))
        self.pool = self.runner.pool = self.core._pool

    @rule(
        stem=st.lists(st.integers(0, 1), max_size=MAX_PROMPT - 4),
        repeats=st.integers(0, 3),
        tail=st.lists(st.integers(0, 49), min_size=1, max_size=4),
        max_tokens=st.integers(1, MAX_ANSWER),
        min_tokens=st.integers(0, 3),
        num_choices=st.sampled_from([1, 1, 2, 3]),
        seed=st.integers(0, 1),
        priority=st.sampled_from([0, 0, 0, -1, 5]),
        salt=st.sampled_from(SALTS),
        may_end=st.booleans(),
    )
    def ask(
        self,
        *,
        stem: list[int],
        repeats: int,
        tail: list[int],
        max_tokens: int,
        min_tokens: int,
        num_choices: int,
        seed: int,
        priority: int,
        salt: bytes,
        may_end: bool,
    ) -> None:
        prompt = (stem * repeats)[: MAX_PROMPT - len(tail)] + tail
        params = SamplingParams(
            max_tokens=max_tokens, min_tokens=min(min_tokens, max_tokens), seed=seed
        )
        for choice in range(num_choices):
            seq = Sequence(
                self.next_id,
                list(prompt),
                params,
                max_tokens,
                frozenset({END_TOKEN} if may_end else ()),
                choice,
                priority=priority,
                cache_salt=salt,
            )
            self.next_id += 1
            self.num_tokens_asked += len(prompt) + max_tokens
            self.here[seq.id] = seq
            self.core.add([seq])

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def give_up(self, data: st.DataObject) -> None:
        seq = self.here.pop(data.draw(st.sampled_from(sorted(self.here))))
        self.core.end(seq, FinishReason.ABORT)
        assert not seq.block_table

    @precondition(lambda self: self.here)
    @rule(count=st.integers(1, 8))
    def steps(self, count: int) -> None:
        for _ in range(count):
            self.step()

    def step(self) -> None:
        if not self.core.has_work:
            return
        waiting = list(self.core._scheduler._waiting)
        before = self.core.stats().num_computed_tokens
        outputs = self.core.step()
        assert self.core.stats().num_computed_tokens - before == self.runner.num_tokens > 0
        self.check_turns(waiting)
        for seq in self.here.values():
            self.learn(seq)
        for output in outputs:
            if output.finish_reason:
                self.check_answer(self.here.pop(output.sequence_id))
        self.check_books()

    def check_turns(self, waiting: list[Sequence]) -> None:
        """Nobody is let in before one whose turn is earlier."""
        admitted = [seq for seq in waiting if seq.num_computed_tokens or seq.finish_reason]
        left = [seq.turn for seq in self.core._scheduler._waiting]
        for seq in admitted:
            assert all(seq.turn <= turn for turn in left), "a turn was passed over"

    def check_answer(self, seq: Sequence) -> None:
        prompt = seq.tokens[: seq.num_prompt_tokens]
        generated = seq.tokens[seq.num_prompt_tokens :]
        assert len(generated) <= seq.max_tokens
        if not (seq.params.min_tokens and seq.end_tokens):  # forbidden tokens change the others
            assert generated == toy_completion(
                prompt,
                seq.max_tokens,
                end_tokens=seq.end_tokens,
                seed=seq.params.seed,
                choice=seq.choice,
                to_token=self.to_token,
            )
        assert not seq.end_tokens.intersection(generated[: seq.params.min_tokens])

    def learn(self, seq: Sequence) -> None:
        """Work out for a sequence's blocks what they are found by and what they hold."""
        size = self.block_size
        parent, keys = seq.cache_salt, [b""]
        for token in seq.tokens:
            keys.append(digest(keys[-1], token))
        for start in range(0, len(seq.tokens) - size + 1, size):
            parent = hash_block(parent, seq.tokens[start : start + size])
            content = keys[start + 1 : start + size + 1]
            assert self.known.setdefault(parent, content) == content
            block = start // size
            if start + size <= seq.num_computed_tokens:  # held, and to be read by the next token
                assert self.runner.content(seq.block_table[block]) == content
                found_by = self.pool._hashes[seq.block_table[block]]
                assert found_by in (None, parent), "a block of another text or salt is shared"

    def check_books(self) -> None:
        self.core.check_invariants()
        held = [seq.block_table for seq in self.core._scheduler._running]
        num_held = len({block for table in held for block in table})
        assert num_held + self.pool.num_free_blocks == self.pool.num_blocks
        for block_hash, block in self.pool._cached.items():
            assert self.runner.content(block) == self.known[block_hash], "not what was computed"

    @invariant()
    def everyone_is_somewhere(self) -> None:
        if hasattr(self, "core"):
            stats = self.core.stats()
            assert stats.num_running + stats.num_waiting == len(self.here)

    @override
    def teardown(self) -> None:
        if not hasattr(self, "core"):
            return
        # Each may be computed anew once for each of the others, and every step computes a token.
        for _ in range(self.num_tokens_asked * (1 + self.next_id)):
            if not self.here:
                break
            self.step()
        assert not self.here, "somebody starves"
        assert self.pool.num_free_blocks == self.pool.num_blocks, "a block was not given back"


Scheduling.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestScheduling = pytest.mark.slow(Scheduling.TestCase)
