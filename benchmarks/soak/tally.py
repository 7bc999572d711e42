"""What the clients were answered, and what should not have happened."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LEFT: Final = 499
"""Stands for answers that the client itself left: the server counts them so too."""
_MAX_KINDS_OF_PROBLEMS: Final = 200


@dataclass(slots=True)
class Tally:
    """Of all clients of one run.

    Attributes:
        kinds: answers by what was asked.
        statuses: answers by their status.
        problems: in words, and how often.
        seeded: answers that had to be what they were before.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    seeded: int = 0

    def answered(self, kind: str, status: int) -> None:
        """One was answered, or left."""
        self.kinds[kind] += 1
        self.statuses[status] += 1

    def problem(self, words: str) -> None:
        """Something that a sound server would not have done."""
        if words in self.problems or len(self.problems) < _MAX_KINDS_OF_PROBLEMS:
            self.problems[words] += 1
        else:
            self.problems["others"] += 1
