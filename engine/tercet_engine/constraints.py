"""Grammars in a step: asked before it what may be drawn, told after it what was."""

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Mask, Renewed
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence as TokenSequence

Renewal = Future[Renewed | None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the grammars of a step allow.

    Attributes:
        chunks: of the step, but for those of `failed`.
        masks: what may be drawn, by the sequence's id.
        failed: sequences whose grammar has reached a bound.
        held: sequences whose grammar needs a new matcher first, and what gives it.
    """

    chunks: Sequence[Chunk]
    masks: dict[int, Mask]
    failed: Sequence[TokenSequence]
    held: Sequence[tuple[TokenSequence, Renewal]]


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
        """Forget a sequence. Returns whether it was here at all."""
        return self._renewals.pop(seq.id, None) is not None

    def take_ready(self, seconds: float) -> list[TokenSequence]:
        """Those that can go on, no longer held; wait for the first, but not for longer."""
        if not self._renewals:
            return []
        wait([renewal for _, renewal in self._renewals.values()], seconds, FIRST_COMPLETED)
        ready = [seq for seq, renewal in self._renewals.values() if renewal.done()]
        for seq in ready:
            del self._renewals[seq.id]
        return ready


def ask(chunks: Sequence[Chunk]) -> Asked:
    """Ask the grammars of the sequences that are to draw."""
    masks: dict[int, Mask] = {}
    failed = []
    held: list[tuple[TokenSequence, Renewal]] = []
    able = []
    for chunk in chunks:
        seq = chunk.seq
        if seq.constraint and chunk.num_outputs:
            try:
                known = seq.constraint.mask_or_renewal()
            except GrammarFailed:
                failed.append(seq)
                continue
            if isinstance(known, Future):
                held.append((seq, known))
                continue
            masks[seq.id] = known
        able.append(chunk)
    return Asked(able, masks, failed, held)


def tell(sequences: Iterable[TokenSequence]) -> list[TokenSequence]:
    """Tell the grammars the last tokens drawn; return the sequences that cannot go on."""
    failed = []
    for seq in sequences:
        if seq.constraint and not seq.finish_reason:
            try:
                seq.constraint.accept(seq.tokens[-1])
            except GrammarFailed:
                failed.append(seq)
    return failed
