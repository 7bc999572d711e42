"""The words that stories are made of, one class of words per file of `lexicon/`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

FOLDER = Path(__file__).parent / "lexicon"


@dataclass(frozen=True, slots=True)
class WordList:
    """Words of one class and how often each is drawn."""

    words: tuple[str, ...]
    weights: tuple[float, ...]

    def draw(self, rng: random.Random, *, flat: float = 0.25) -> str:
        """Draw one word; a share of `flat` is drawn evenly, so that rare words are learned too."""
        if rng.random() < flat:
            return rng.choice(self.words)
        return rng.choices(self.words, self.weights)[0]


@cache
def word_list(name: str) -> WordList:
    """Read `lexicon/<name>.txt`: entries between commas, each with an optional weight (`dog*9`)."""
    entries = [e.strip() for e in (FOLDER / f"{name}.txt").read_text().split(",")]
    pairs = [e.partition("*") for e in entries if e]
    return WordList(
        words=tuple(word for word, _, _ in pairs),
        weights=tuple(float(weight or 1) for _, _, weight in pairs),
    )


def draw(name: str, rng: random.Random) -> str:
    """One word of the class `name`."""
    return word_list(name).draw(rng)


# Invented names teach the model to copy a name it has never seen, letter group by letter group.
ONSETS = [
    "b",
    "c",
    "d",
    "f",
    "g",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "w",
    "z",
    "br",
    "ch",
    "cl",
    "dr",
    "fl",
    "gr",
    "kr",
    "pl",
    "sh",
    "st",
    "th",
    "tr",
    "qu",
]
VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ee", "oo", "ai", "ou", "ia"]
CODAS = ["", "", "", "n", "r", "l", "s", "x", "m", "ck", "nd", "t", "p", "b"]


def invented_name(rng: random.Random) -> str:
    """A pronounceable name that is in no list, such as Brozi or Teevan."""
    syllables = rng.choice((1, 2, 2, 2, 3))
    body = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(syllables))
    return (body + rng.choice(CODAS)).capitalize()


def past_tense(verb: str) -> str:
    """The past tense of a verb of the list (`run ran`)."""
    return dict(entry.split() for entry in word_list("verbs").words)[verb]
