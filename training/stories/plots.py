"""Plots: the files of `plots/`, and how one of them is told with a cast.

A plot is a head (`theme:`, `title:`, `moral:`, `summary:`, `who:`) and, after `---`, steps parted
by blank lines. Every line of a step is one way to say it; one that begins with `?` may be left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .expand import choose, expand, fill, sentence_case

if TYPE_CHECKING:
    import random

    from .cast import Cast

HERE = Path(__file__).parent
OF_TWO = re.compile(r"\{friend\}|\b(they|them|us)\b")  # makes sense when the friend is there


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot: what may be said of it, and its steps."""

    name: str
    head: dict[str, tuple[str, ...]]
    steps: tuple[tuple[str, ...], ...]

    def say(self, key: str, cast: Cast, rng: random.Random) -> str:
        """A title, moral, summary, theme or `who` of this plot."""
        return fill(choose(rng.choice(self.head[key]), rng), cast.slots)


@dataclass(frozen=True, slots=True)
class Story:
    """A told story."""

    plot: Plot
    cast: Cast
    text: str


def parse(name: str, text: str) -> Plot:
    """Read one plot file."""
    head_text, _, body = text.partition("\n---\n")
    head = {}
    for line in head_text.strip().splitlines():
        key, _, values = line.partition(": ")
        head[key] = tuple(v.strip() for v in values.split(" | "))
    steps = tuple(tuple(step.strip().splitlines()) for step in body.strip().split("\n\n"))
    return Plot(name, head, steps)


@cache
def all_plots() -> tuple[Plot, ...]:
    """Every plot, in the order of its name."""
    return tuple(parse(p.stem, p.read_text()) for p in sorted((HERE / "plots").glob("*.txt")))


@cache
def lines_of(name: str) -> tuple[str, ...]:
    """The lines of `openings.txt`, `habits.txt` or `closings.txt`; `?` stands for nothing."""
    return tuple("" if s == "?" else s for s in (HERE / f"{name}.txt").read_text().splitlines())


@cache
def weavings() -> dict[str, tuple[str, ...]]:
    """Sentences that can hold one given word, by class of word."""
    lines = (HERE / "weaving.txt").read_text().splitlines()
    pairs = (line.partition(": ") for line in lines if not line.startswith("#"))
    return {key: tuple(v.strip() for v in values.split(" | ")) for key, _, values in pairs}


def tell_steps(plot: Plot, rng: random.Random) -> list[str]:
    """One template for every step that is told."""
    told = []
    for step in plot.steps:
        ways = step[1:] if step[0] == "?" else step
        if not ways or (step[0] == "?" and rng.random() < 0.6):
            continue
        told.append(choose(rng.choice(ways), rng))
    return told


def weave(
    steps: list[str], words: list[tuple[str, str]], cast: Cast, rng: random.Random, *, at_once: bool
) -> list[str]:
    """Put one sentence for every (class, word) between the steps, in the order of the words."""
    introduced = next(i for i, step in enumerate(steps) if "{afriend}" in step)
    # Early in the story, so that none is forgotten before the end.
    latest = 2 if at_once else min(len(steps), 2 + 2 * len(words))
    places = sorted(rng.randrange(1, latest) for _ in words)
    out = list(steps)
    for place, (group, word) in reversed(list(zip(places, words, strict=True))):
        ways = [w for w in weavings()[group] if place > introduced or not OF_TWO.search(w)]
        sentence = fill(choose(rng.choice(ways), rng), {**cast.slots, "word": word})
        out.insert(place, sentence)
    return out


def tell(
    plot: Plot,
    cast: Cast,
    rng: random.Random,
    words: list[tuple[str, str]] | None = None,
    *,
    opening: bool = True,
    at_once: bool = False,
) -> Story:
    """Tell `plot` with `cast`; `words` are woven in, all after the opening if `at_once`."""
    steps = tell_steps(plot, rng)
    if opening:
        steps.insert(
            0, f"{rng.choice(lines_of('openings'))} {choose(rng.choice(lines_of('habits')), rng)}"
        )
    if words:
        steps = weave(steps, words, cast, rng, at_once=at_once)
    steps.append(rng.choice(lines_of("closings")))
    return Story(plot, cast, paragraphs(steps, cast, rng))


def paragraphs(steps: list[str], cast: Cast, rng: random.Random) -> str:
    """Join the steps: now and then in two paragraphs, and sometimes with the kind for the name."""
    texts = []
    for step in steps:
        slots = dict(cast.slots)
        slots["hero"] = cast.hero.name if rng.random() < 0.65 else f"the {cast.hero.kind}"
        texts.append(expand(step, slots, rng))
    if rng.random() < 0.35:
        cut = len(texts) // 2
        texts[cut] = "\n\n" + texts[cut]
    return sentence_case(" ".join(t for t in texts if t).replace(" \n\n", "\n\n"))
