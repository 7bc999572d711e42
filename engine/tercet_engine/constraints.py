"""Grammars in a step: asked before it what may be drawn, told after it what was."""

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import NamedTuple

from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Mask, Renewed
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence as TokenSequence

Renewal = Future[Renewed | None]


class Unknown(NamedTuple):
    """Sequences that cannot draw.

    Attributes:
        failed: their grammar has reached a bound.
        held: their grammar needs a new matcher first, and this gives it.
    """

    failed: list[TokenSequence]
    held: list[tuple[TokenSequence, Renewal]]


class HeldSequences:
    """Sequences that cannot go on before something is done on another thread."""

    def __init__(self) -> None:
        self._renewals: dict[int, tuple[TokenSequence, Renewal]] = {}

    def __len__(self) -> int:
        return len(self._renewals)

    def add(self, seq: TokenSequence, renewal: Renewal) -> None:
        """Hold a sequence until `renewal` is done."""
        self._renewals[seq.id] = seq, renewal

    def remove(self, seq: TokenSequence) -> bool:
        """Forget a sequence, which is over. Returns whether it was here at all."""
        if self._renewals.pop(seq.id, None) is None:
            return False
        if seq.constraint:
            seq.constraint.end()
        return True

    def take_ready(self, seconds: float) -> list[TokenSequence]:
        """Those that can go on, no longer held; wait for the first, but not for longer."""
        if not self._renewals:
            return []
        wait([renewal for _, renewal in self._renewals.values()], seconds, FIRST_COMPLETED)
        ready = [seq for seq, renewal in self._renewals.values() if renewal.done()]
        for seq in ready:
            del self._renewals[seq.id]
        return ready


def ask(sequences: Iterable[TokenSequence]) -> Unknown:
    """Have the grammars of sequences find out what may be drawn next."""
    unknown = Unknown([], [])
    for seq in sequences:
        if seq.constraint:
            try:
                renewal = seq.constraint.find_out()
            except GrammarFailed:
                unknown.failed.append(seq)
            else:
                if renewal:
                    unknown.held.append((seq, renewal))
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
