"""What is fuzzed: one door of Tercet through which something hostile may come.

A target takes bytes, does with them what Tercet would, and says in a word what came of them. What
the door is allowed to raise it catches itself; whatever leaves `run` is a finding. `mutate` makes
another input of one, by the random numbers it is given and nothing else, so that a case is known by
its seed and number.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"

Mutate = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Target:
    """One door.

    Attributes:
        name: of the target and of its folder in the corpus.
        open: prepares, and returns what takes an input and says what came of it.
        mutate: makes another input of one.
        seeds: inputs to begin with, beside those in the corpus.
        guided_by: the beginnings of modules whose branches show a guided run where it is new.
        max_bytes: of an input.
        max_seconds: of processor time that one input may take.
        max_growth: bytes by which one input may make the process grow.
    """

    name: str
    open: Callable[[], Callable[[bytes], str]]
    mutate: Mutate
    seeds: Callable[[], Sequence[bytes]] = tuple
    guided_by: tuple[str, ...] = ("tercet_engine",)
    max_bytes: int = 1 << 16
    max_seconds: float = 2.0
    max_growth: int = 256 << 20

    def inputs(self) -> list[bytes]:
        """All inputs to begin with: first what once was a finding, then the seeds."""
        kept = [path.read_bytes() for path in sorted((CORPUS / self.name).glob("*"))]
        return [*kept, *self.seeds()]


class Finding(Exception):
    """What a target itself found to be wrong, in words."""
