"""Grammars in a step: asked before it what may be drawn, told after it what was."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Mask
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence as TokenSequence


@dataclass(frozen=True, slots=True)
class Asked:
    """What the grammars of a step allow.

    Attributes:
        chunks: of the step, but for those of `failed`.
        masks: what may be drawn, by the sequence's id.
        failed: sequences whose grammar has reached a bound.
    """

    chunks: Sequence[Chunk]
    masks: dict[int, Mask]
    failed: Sequence[TokenSequence]


def ask(chunks: Sequence[Chunk]) -> Asked:
    """Ask the grammars of the sequences that are to draw."""
    masks: dict[int, Mask] = {}
    failed = []
    for chunk in chunks:
        seq = chunk.seq
        if seq.constraint and chunk.num_outputs:
            try:
                masks[seq.id] = seq.constraint.mask()
            except GrammarFailed:
                failed.append(seq)
    if failed:
        chunks = [chunk for chunk in chunks if chunk.seq not in failed]
    return Asked(chunks, masks, failed)


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
