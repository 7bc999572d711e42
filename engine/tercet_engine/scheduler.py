"""Decides, step by step, which tokens of which sequences the model computes next.

There is no prefill phase and no decode phase. Every sequence has tokens, some already computed;
a step hands out a budget of tokens so that each sequence catches up with itself. A long prompt
catches up over several steps; a stream is always exactly one token behind.
"""

from array import array
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from tercet_engine.block_pool import BlockPool, hash_block
from tercet_engine.completion import FinishReason
from tercet_engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next `num_tokens` uncomputed tokens of a sequence."""

    seq: Sequence
    num_tokens: int

    @property
    def is_last(self) -> bool:
        """Whether the model's output after this chunk is the sequence's next token."""
        return self.num_tokens == self.seq.num_pending_tokens


class Scheduler:
    """Sequences wait in line, run in order of admission, and leave when they are finished.

    When blocks run out the last admitted goes back to the head of the line and is computed anew
    later: its tokens are kept, so nothing but time is lost.
    """

    def __init__(
        self,
        pool: BlockPool,
        *,
        max_batch_tokens: int,
        max_sequences: int,
        prefix_cache: bool = True,
    ) -> None:
        self._pool = pool
        self._max_batch_tokens = max_batch_tokens
        self._max_sequences = max_sequences
        self._prefix_cache = prefix_cache
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []  # in order of admission
        self.num_preemptions = 0

    @property
    def num_running(self) -> int:
        """Sequences that hold blocks."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Sequences in line, preempted ones among them."""
        return len(self._waiting)

    def add(self, seq: Sequence) -> None:
        """Put a sequence at the end of the line. All its tokens must fit the pool."""
        self._waiting.append(seq)

    def abort(self, seq: Sequence) -> bool:
        """Forget a sequence and free its blocks. Returns whether it was here at all."""
        if seq in self._running:
            self._stop(seq)
        elif seq in self._waiting:
            self._waiting.remove(seq)
        else:
            return False
        seq.finish_reason = FinishReason.ABORT
        return True

    def schedule(self) -> list[Chunk]:
        """Choose the next batch. Empty only when there is nothing left to do."""
        batch: list[Chunk] = []
        budget = self._max_batch_tokens

        # In order of admission, every stream advances by one token before a prompt still being
        # computed (only the last admitted can be one) takes what is left of the budget.
        while budget and len(batch) < len(self._running):
            seq = self._running[len(batch)]
            if self._make_room(seq):
                num_tokens = min(seq.num_pending_tokens, budget)
                batch.append(Chunk(seq, num_tokens))
                budget -= num_tokens

        # Whoever was preempted just now is first in line and, short of a block, stays there.
        while budget and self._waiting and self._admit(self._waiting[0]):
            seq = self._waiting.popleft()
            num_tokens = min(seq.num_pending_tokens, budget)
            batch.append(Chunk(seq, num_tokens))
            budget -= num_tokens
        return batch

    def update(self, batch: Iterable[Chunk], next_tokens: Iterable[int]) -> list[Sequence]:
        """Record one computed step; return the sequences that got a token, in the batch's order.

        Args:
            batch: what `schedule` returned.
            next_tokens: one for each chunk that `is_last`, in order.
        """
        drawn = iter(next_tokens)
        advanced = []
        for chunk in batch:
            seq, is_last = chunk.seq, chunk.is_last
            self._advance(seq, chunk.num_tokens)
            if is_last:
                seq.append(next(drawn))
                advanced.append(seq)
        for seq in advanced:
            if seq.finish_reason:
                self._stop(seq)
        return advanced

    def check_invariants(self) -> None:
        """Raise unless every block is either free or held by a running sequence."""
        self._pool.check_invariants(seq.block_table for seq in self._running)
        for seq in self._waiting:
            assert not seq.block_table, "a waiting sequence holds blocks"
            assert not seq.num_computed_tokens, "a waiting sequence claims computed tokens"
        assert len(self._running) <= self._max_sequences, "too many sequences run"

    def _admit(self, seq: Sequence) -> bool:
        """Give a sequence blocks for all its tokens, cached ones first, unless they are too few."""
        if len(self._running) == self._max_sequences:
            return False
        # The last token is always computed, for it is the one whose output is drawn from.
        num_matchable = (len(seq.tokens) - 1) // self._pool.block_size
        cached = self._pool.match(self._hashes(seq, num_matchable)) if self._prefix_cache else []
        num_new = self._pool.num_blocks_for(len(seq.tokens)) - len(cached)
        if num_new > self._pool.num_free_without(cached):
            return False
        self._pool.hold(cached)
        seq.block_table = array("i", cached + self._pool.allocate(num_new))
        seq.num_computed_tokens = len(cached) * self._pool.block_size
        if seq.num_cached_tokens is None:
            seq.num_cached_tokens = seq.num_computed_tokens
        self._running.append(seq)
        return True

    def _make_room(self, seq: Sequence) -> bool:
        """See that a sequence has blocks for its tokens, preempting the last admitted if need be.

        It had them when it was admitted and has grown by one token per step since, so that one
        block at most is wanting.
        """
        if self._pool.num_blocks_for(len(seq.tokens)) == len(seq.block_table):
            return True
        while not self._pool.num_free_blocks:
            victim = self._running[-1]
            self._stop(victim)
            self._waiting.appendleft(victim)
            self.num_preemptions += 1
            if victim is seq:
                return False
        seq.block_table.extend(self._pool.allocate(1))
        return True

    def _stop(self, seq: Sequence) -> None:
        self._running.remove(seq)
        self._pool.release(seq.block_table)
        seq.block_table = array("i")
        seq.num_computed_tokens = 0

    def _advance(self, seq: Sequence, num_tokens: int) -> None:
        first = seq.num_computed_tokens // self._pool.block_size
        seq.num_computed_tokens += num_tokens
        last = seq.num_computed_tokens // self._pool.block_size
        if self._prefix_cache and first < last:
            hashes = self._hashes(seq, last)[first:]
            for block, block_hash in zip(seq.block_table[first:last], hashes, strict=True):
                self._pool.publish(block, block_hash)

    def _hashes(self, seq: Sequence, count: int) -> list[bytes]:
        size = self._pool.block_size
        while len(seq.block_hashes) < count:
            start = len(seq.block_hashes) * size
            parent = seq.block_hashes[-1] if seq.block_hashes else b""
            seq.block_hashes.append(hash_block(parent, seq.tokens[start : start + size]))
        return seq.block_hashes[:count]
