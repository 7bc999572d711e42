"""The template language.

`[this|that]` is a choice, `{slot}` a word of the cast, `{Slot}` the same in capitals and `{a:slot}`
the word with its article.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

INNERMOST_CHOICE = re.compile(r"\[([^\[\]]*)\]")
SLOT = re.compile(r"\{(a:)?(\w+)\}")
# Words that are written with a vowel and spoken with a consonant.
SPOKEN_CONSONANT = ("uni", "use", "usu", "eu", "one", "ukulele")
SILENT_H = ("honest", "hour", "honor")
SENTENCE_START = re.compile(
    r"(^|[.:] |[.!?]\n+|\. \"|^\"|\n\"|\n|[!?] \"|[.!?]\" \"|[.]\" )([a-z])"
)
BARE_END = re.compile(r"(?<=[a-z0-9])([!?]) ([a-z])")


def article(noun: str) -> str:
    """`noun` with its indefinite article."""
    lower = noun.lower()
    vowel = lower.startswith(SILENT_H) or (
        lower[:1] in "aeiou" and not lower.startswith(SPOKEN_CONSONANT)
    )
    return f"{'an' if vowel else 'a'} {noun}"


def choose(template: str, rng: random.Random) -> str:
    """Resolve every `[a|b]`, the innermost first."""
    while found := INNERMOST_CHOICE.search(template):
        template = (
            template[: found.start()] + rng.choice(found[1].split("|")) + template[found.end() :]
        )
    return template


def fill(template: str, slots: Mapping[str, str]) -> str:
    """Put the cast into the slots; `{Slot}` is the slot in capitals, as titles have it."""

    def replace(found: re.Match[str]) -> str:
        name = found[2]
        value = slots[name] if name in slots else capitals(slots[name.lower()])
        return article(value) if found[1] else value

    return SLOT.sub(replace, template)


def capitals(phrase: str) -> str:
    """Every word with a capital."""
    return " ".join(word[:1].upper() + word[1:] for word in phrase.split(" "))


def sentence_case(text: str) -> str:
    """A capital at the start of every sentence, and no doubled spaces."""
    text = re.sub(r" {2,}", " ", text).strip()
    text = SENTENCE_START.sub(lambda m: m[1] + m[2].upper(), text)
    return BARE_END.sub(lambda m: f"{m[1]} {m[2].upper()}", text)


def expand(template: str, slots: Mapping[str, str], rng: random.Random) -> str:
    """One finished text from a template."""
    return sentence_case(fill(choose(template, rng), slots))
