"""Decides, step by step, which tokens of which sequences the model computes next.

There is no prefill phase and no decode phase. Every sequence has tokens, some already computed;
a step hands out a budget of tokens so that each sequence catches up with itself. A long prompt
catches up over several steps; a stream is always exactly one token behind.
"""

from array import array
from bisect import insort_left, insort_right
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as List
from heapq import merge
from itertools import takewhile, zip_longest
from operator import attrgetter
from typing import NamedTuple

from tercet_engine.block_pool import BlockPool, hash_block
from tercet_engine.completion import FinishReason, Pooling
from tercet_engine.pace import Load, StepBudget, StepTimes
from tercet_engine.sequence import Sequence
from tercet_engine.speculation import Speculator

_turn = attrgetter("turn")
_PRIORITY = 1 << 48  # tokens: more than are ever scheduled
_FIRST = -(1 << 128)  # before every priority


class Chunk(NamedTuple):
    """The next `num_tokens` uncomputed tokens of a sequence, and guesses at those to follow."""

    seq: Sequence
    num_tokens: int
    draft: tuple[int, ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether the model's output after this chunk is the sequence's next token."""
        return self.num_tokens == self.seq.num_pending_tokens

    @property
    def num_outputs(self) -> int:
        """Tokens to be drawn: the next one, and one after each guess."""
        return 1 + len(self.draft) if self.is_last and self.seq.max_tokens else 0

    @property
    def num_pooled(self) -> int:
        """Tokens, the last ones of the chunk, whose hidden states are wanted."""
        match self.seq.pooling:
            case None:
                return 0
            case Pooling.MEAN:
                return self.num_tokens
            case Pooling.LAST:
                return int(self.is_last)


class Advance(NamedTuple):
    """A sequence has got its last `num_tokens` tokens, drawn in this and the following rows."""

    seq: Sequence
    first_row: int
    num_tokens: int


class Scheduler:
    """Sequences wait in line, run, and leave when they are finished.

    The line is ordered by turns. A sequence's turn is the work done when it came, in tokens, plus
    the work that it asks for: a short prompt overtakes a long one, but none overtakes a prompt
    that has waited for as many tokens as it is longer. Prompts in progress keep their turn.

    When blocks run out the last admitted goes back into the line and is computed anew later: its
    tokens are kept, so nothing but time is lost. If it had begun to answer, it is first in line.

    Args:
        pool: the KV cache's blocks.
        max_batch_tokens: tokens of one step at most.
        max_sequences: sequences that run at the same time at most.
        prefix_cache: whether computed blocks are found again by later prompts.
        max_outputs: tokens drawn in one step at most, those after guesses included; 0: no guesses.
        max_step_seconds: how long a step that carries streams should take at most; None: any time.
    """

    def __init__(
        self,
        pool: BlockPool,
        *,
        max_batch_tokens: int,
        max_sequences: int,
        prefix_cache: bool = True,
        max_outputs: int = 0,
        max_step_seconds: float | None = None,
    ) -> None:
        self._pool = pool
        self._max_batch_tokens = max_batch_tokens
        self._max_sequences = max_sequences
        self._prefix_cache = prefix_cache
        self._max_outputs = max_outputs
        self._max_step_seconds = max_step_seconds
        self._waiting: list[Sequence] = []  # in order of turns
        self._running: list[Sequence] = []  # in order of admission
        self._load = Load()  # of the step that was scheduled last
        self._prompt_times = StepTimes()
        self._stream_times = StepTimes()
        self._speculator = Speculator(self._stream_times)
        self._num_scheduled = 0
        self.num_preemptions = 0
        self.num_drafted_tokens = 0
        self.num_accepted_tokens = 0

    @property
    def num_running(self) -> int:
        """Sequences that hold blocks."""
        return len(self._running)

    @property
    def num_waiting(self) -> int:
        """Sequences in line, preempted ones among them."""
        return len(self._waiting)

    @property
    def num_resumed(self) -> int:
        """Those of them that were set aside before."""
        return sum(1 for _ in takewhile(lambda seq: seq.turn == _FIRST, self._waiting))

    @property
    def num_tokens_in_step(self) -> int:
        """Tokens of the step that was scheduled last, guesses included."""
        return self._load.num_tokens

    def add(self, seq: Sequence) -> None:
        """Put a sequence into the line. All its tokens must fit the pool."""
        seq.turn = seq.priority * _PRIORITY + self._num_scheduled + len(seq.tokens)
        insort_right(self._waiting, seq, key=_turn)

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

    def sequences(self) -> Iterator[Sequence]:
        """All that are here."""
        yield from self._running
        yield from self._waiting

    def set_aside(self, seq: Sequence) -> None:
        """Let a sequence that cannot go on for now be neither here nor hold blocks; `resume` it."""
        if seq in self._running:
            self._stop(seq)
        else:
            self._waiting.remove(seq)

    def resume(self, seq: Sequence) -> None:
        """Let a sequence that was set aside go on before all others: it had a slot."""
        seq.turn = _FIRST
        insort_right(self._waiting, seq, key=_turn)

    def schedule(self) -> list[Chunk]:
        """Choose the next batch. Empty only when there is nothing left to do."""
        streams = self._streams()
        prompts = self._prompts(self._budget(num_streams=len(streams)))
        self._add_guesses(streams)
        self._num_scheduled += self._load.num_tokens
        return streams + prompts

    def update(self, batch: Iterable[Chunk], next_tokens: List[int]) -> list[Advance]:
        """Record one computed step; return who got tokens, in the batch's order.

        Args:
            batch: what `schedule` returned.
            next_tokens: one for each output of each chunk, in order.
        """
        advances = []
        row = 0
        for chunk in batch:
            seq, num_computed, draft = chunk
            if not seq.max_tokens and chunk.is_last:
                seq.finish_reason = FinishReason.LENGTH
                advances.append(Advance(seq, row, 0))
            elif num_outputs := chunk.num_outputs:
                num_accepted = self._append(seq, next_tokens[row : row + num_outputs], draft)
                advances.append(Advance(seq, row, 1 + num_accepted))
                num_computed += num_accepted
                row += num_outputs
            self._advance(seq, num_computed)
            if draft:
                self._release_spare_blocks(seq)
            if seq.finish_reason:
                self._stop(seq)
        return advances

    def forget(self, batch: Iterable[Chunk]) -> None:
        """Take back what `schedule` returned, as it was not computed."""
        for chunk in batch:
            self._release_spare_blocks(chunk.seq)

    def observe(self, seconds: float) -> None:
        """Learn how long the step took that was scheduled last."""
        is_prompt = self._load.num_tokens > self._load.num_outputs
        (self._prompt_times if is_prompt else self._stream_times).observe(self._load, seconds)

    def check_invariants(self) -> None:
        """Raise unless every block is either free or held by a running sequence."""
        self._pool.check_invariants(seq.block_table for seq in self._running)
        for seq in self._waiting:
            assert not seq.block_table, "a waiting sequence holds blocks"
            assert not seq.num_computed_tokens, "a waiting sequence claims computed tokens"
        for seq in self._running:
            num_blocks = self._pool.num_blocks_for(len(seq.tokens))
            assert len(seq.block_table) in {num_blocks - 1, num_blocks}, "blocks without tokens"
        assert len(self._running) <= self._max_sequences, "too many sequences run"
        turns = list(map(_turn, self._waiting))
        assert turns == sorted(turns), "the line is out of order"

    def _streams(self) -> list[Chunk]:
        """In order of admission, every sequence that wants one token only gets it."""
        batch = []
        num_keys = 0
        for seq in tuple(self._running):
            # Whoever is preempted on the way was admitted last: it is later in this loop.
            if seq.num_pending_tokens == 1 and seq.block_table and self._make_room(seq):
                batch.append(Chunk(seq, 1))
                num_keys += len(seq.tokens)
        self._load = Load(len(batch), num_keys, len(batch))
        return batch

    def _budget(self, num_streams: int) -> StepBudget:
        """All that a step can hold, or what keeps the streams' next tokens from coming late."""
        times, seconds = self._prompt_times, None
        if num_streams and self._max_step_seconds and times.is_measured:
            seconds = self._max_step_seconds - times.seconds(self._load)
        return StepBudget(self._max_batch_tokens - num_streams, seconds, times)

    def _prompts(self, budget: StepBudget) -> list[Chunk]:
        """Turn by turn, prompts in progress and prompts that can be admitted use up the budget."""
        in_progress = [seq for seq in self._running if seq.num_pending_tokens > 1]
        batch: list[Chunk] = []
        is_full = False
        for seq in merge(sorted(in_progress, key=_turn), tuple(self._waiting), key=_turn):
            if not budget.has_room:
                break
            if not seq.block_table:
                # Who is short of blocks lets nobody admitted after it have them.
                is_full = is_full or not self._admit(seq)
                if is_full:
                    continue
                self._waiting.remove(seq)
            num_tokens = budget.take(seq.num_pending_tokens, seq.num_computed_tokens)
            chunk = Chunk(seq, num_tokens)
            batch.append(chunk)
            self._load.add(num_tokens, seq.num_computed_tokens, chunk.num_outputs)
        return batch

    def _add_guesses(self, streams: list[Chunk]) -> None:
        """Let streams run ahead where it pays, in what the step has left of tokens and outputs."""
        load = self._load
        num_rows = min(
            self._max_outputs - load.num_outputs, self._max_batch_tokens - load.num_tokens
        )
        guesses = self._speculator.choose([chunk.seq for chunk in streams], load, num_rows)
        for index, draft in list(guesses):
            seq = streams[index].seq
            streams[index] = Chunk(seq, 1, draft[: self._room_ahead(seq, len(draft))])
            num_guesses = len(streams[index].draft)
            load.add(num_guesses, len(seq.tokens), num_guesses)
            self.num_drafted_tokens += num_guesses

    def _room_ahead(self, seq: Sequence, num_wanted: int) -> int:
        """Find room for tokens beyond a sequence's own in free blocks, never in those of others."""
        num_blocks = self._pool.num_blocks_for(len(seq.tokens) + num_wanted)
        num_new = min(num_blocks - len(seq.block_table), self._pool.num_free_blocks)
        seq.block_table.extend(self._pool.allocate(num_new))
        return len(seq.block_table) * self._pool.block_size - len(seq.tokens)

    def _append(self, seq: Sequence, drawn: List[int], draft: tuple[int, ...]) -> int:
        """Append the tokens drawn up to the first that was not guessed; return how many were.

        What was drawn after a wrong guess was drawn after another text.
        """
        num_accepted = 0
        for token, guess in zip_longest(drawn, draft):
            seq.append(token)
            if token != guess or seq.finish_reason:
                break
            num_accepted += 1
        self.num_accepted_tokens += num_accepted
        return num_accepted

    def _admit(self, seq: Sequence) -> bool:
        """Give a sequence blocks for all its tokens, cached ones first, unless they are too few."""
        if len(self._running) == self._max_sequences:
            return False
        num_matchable = seq.num_cacheable_tokens // self._pool.block_size
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
        """See that a stream has blocks for its tokens, preempting the last admitted if need be."""
        while len(seq.tokens) > len(seq.block_table) * self._pool.block_size:
            if self._pool.num_free_blocks:
                seq.block_table.extend(self._pool.allocate(1))
                continue
            victim = self._running[-1]
            self._preempt(victim)
            if victim is seq:
                return False
        return True

    def _preempt(self, seq: Sequence) -> None:
        self._stop(seq)
        if seq.num_generated_tokens:
            seq.turn = seq.priority * _PRIORITY
        insort_left(self._waiting, seq, key=_turn)
        self.num_preemptions += 1

    def _stop(self, seq: Sequence) -> None:
        self._running.remove(seq)
        self._pool.release(seq.block_table)
        seq.block_table = array("i")
        seq.num_computed_tokens = 0

    def _advance(self, seq: Sequence, num_tokens: int) -> None:
        first, num_beyond = divmod(seq.num_computed_tokens, self._pool.block_size)
        seq.num_computed_tokens += num_tokens
        if num_beyond + num_tokens >= self._pool.block_size and self._prefix_cache:
            last = seq.num_computed_tokens // self._pool.block_size
            hashes = self._hashes(seq, last)[first:]
            for block, block_hash in zip(seq.block_table[first:last], hashes, strict=True):
                self._pool.publish(block, block_hash)

    def _release_spare_blocks(self, seq: Sequence) -> None:
        """Give back the blocks that only wrong guesses needed."""
        num_blocks = self._pool.num_blocks_for(len(seq.tokens))
        self._pool.release(seq.block_table[num_blocks:])
        del seq.block_table[num_blocks:]

    def _hashes(self, seq: Sequence, count: int) -> list[bytes]:
        size = self._pool.block_size
        while len(seq.block_hashes) < count:
            start = len(seq.block_hashes) * size
            parent = seq.block_hashes[-1] if seq.block_hashes else seq.cache_salt
            seq.block_hashes.append(hash_block(parent, seq.tokens[start : start + size]))
        return seq.block_hashes[:count]
