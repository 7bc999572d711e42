"""Grammars in a step: asked before it what may be drawn, told after it what was."""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import NamedTuple

from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Grammar, Mask, Renewed
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence as TokenSequence

Renewal = Future[Renewed | None]


class Unknown(NamedTuple):
    """Sequences that cannot draw.

    Attributes:
        failed: their grammar has reached a bound.
        held: their grammar needs a new matcher first.
    """

    failed: list[TokenSequence]
    held: list[TokenSequence]


class HeldSequences:
    """Sequences that cannot go on before they have new matchers: of each grammar one in turn.

    So those of a grammar that needs many wait for each other first. And as a matcher may be large,
    few are made before they can be used: `begin` says how many.
    """

    def __init__(self) -> None:
        self._lines: dict[Grammar, deque[TokenSequence]] = {}  # in the order of their turns
        self._renewals: dict[int, tuple[TokenSequence, Renewal]] = {}
        self._count = 0  # for whoever asks on another thread, amid a change of the lines

    def __len__(self) -> int:
        return self._count

    def add(self, seq: TokenSequence) -> None:
        """Hold a sequence until it has a new matcher."""
        assert seq.constraint
        self._lines.setdefault(seq.constraint.grammar, deque()).append(seq)
        self._count += 1

    def begin(self, count: int) -> None:
        """See that matchers are being made for `count` sequences, if so many are held."""
        while self._lines and len(self._renewals) < count:
            grammar = next(iter(self._lines))
            line = self._lines.pop(grammar)
            seq = line.popleft()
            if line:
                self._lines[grammar] = line  # behind the others
            assert seq.constraint
            self._renewals[seq.id] = seq, seq.constraint.renew()

    def remove(self, seq: TokenSequence) -> bool:
        """Forget a sequence, which is over. Returns whether it was here at all."""
        if not seq.constraint:
            return False
        grammar = seq.constraint.grammar
        if self._renewals.pop(seq.id, None):
            seq.constraint.end()
        elif seq in (line := self._lines.get(grammar, deque())):
            line.remove(seq)
            if not line:
                del self._lines[grammar]
        else:
            return False
        self._count -= 1
        return True

    def take_ready(self, seconds: float) -> list[TokenSequence]:
        """Those that can go on, no longer held; wait for the first, but not for longer."""
        if not self._renewals:
            return []
        wait([renewal for _, renewal in self._renewals.values()], seconds, FIRST_COMPLETED)
        ready = [seq for seq, renewal in self._renewals.values() if renewal.done()]
        for seq in ready:
            del self._renewals[seq.id]
        self._count -= len(ready)
        return ready


def ask(sequences: Iterable[TokenSequence]) -> Unknown:
    """Have the grammars of sequences find out what may be drawn next."""
    unknown = Unknown([], [])
    for seq in sequences:
        if seq.constraint:
            try:
                if not seq.constraint.find_out():
                    unknown.held.append(seq)
            except GrammarFailed:
                unknown.failed.append(seq)
    return unknown


def masks_of(chunks: Iterable[Chunk]) -> dict[int, Mask]:
    """What may be drawn after each chunk that has a grammar, by its sequence's id."""
    return {
        chunk.seq.id: chunk.seq.constraint.known_mask()
        for chunk in chunks
        if chunk.seq.constraint and chunk.num_outputs
    }


def tell(sequences: Iterable[TokenSequence]) -> None:
    """Tell the grammars the last tokens drawn."""
    for seq in sequences:
        if seq.constraint and not seq.finish_reason:
            seq.constraint.accept(seq.tokens[-1])
