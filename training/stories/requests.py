"""Requests with a topic, and the stories that answer them: every word asked for is in the story."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .asks import asks, phrase
from .cast import Cast, draw_cast
from .expand import article, choose, fill, sentence_case
from .plots import Plot, Story, all_plots, tell

if TYPE_CHECKING:
    import random

PREFACES = ("Sure! Here is a story.", "Of course! Here is a story for you.", "I would love to!")


@dataclass(frozen=True, slots=True)
class Told:
    """A request and its story."""

    ask: str
    story: Story


def place_of(text: str, word: str) -> int:
    """Where `word` first stands in the text, as itself or as a plural; -1 if nowhere."""
    found = re.search(rf"\b{re.escape(word)}(s|es)?\b", text, re.IGNORECASE)
    return found.start() if found else -1


def has(text: str, word: str) -> bool:
    """Whether `word` stands in the text."""
    return place_of(text, word) >= 0


def plural(noun: str) -> str:
    """A good enough plural for the kinds of the lists."""
    if noun.endswith(("man", "mouse", "goose", "wolf", "fish", "deer", "sheep", "calf")):
        return ""
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def topic(plot: Plot, cast: Cast, rng: random.Random) -> tuple[str, list[str]]:
    """A phrase for what a story is about, and the words which must then stand in it."""
    hero, friend = cast.hero, cast.friend
    a_kind = article(hero.kind)
    a_friend = article(friend.kind)
    sorts: list[tuple[float, str, list[str]]] = [
        (26, f"{a_kind} [named|named|named|called] {hero.name}", [hero.kind, hero.name]),
        (9, a_kind, [hero.kind]),
        (6, article(f"{hero.trait} {hero.kind}"), [hero.trait, hero.kind]),
        (
            6,
            f"{article(f'{hero.trait} {hero.kind}')} named {hero.name}",
            [hero.trait, hero.kind, hero.name],
        ),
        (7, f"{a_kind} and {a_friend}", [hero.kind, friend.kind]),
        (7, f"{a_kind} named {hero.name} and {a_friend}", [hero.kind, hero.name, friend.kind]),
        (4, hero.name, [hero.name]),
        (4, f"{hero.name} the {hero.kind}", [hero.name, hero.kind]),
        (3, f"[my|our|the] {hero.kind} {hero.name}", [hero.name, hero.kind]),
        (11, f"{a_kind} {plot.say('who', cast, rng)}", [hero.kind]),
        (6, f"{a_kind} named {hero.name} {plot.say('who', cast, rng)}", [hero.kind, hero.name]),
        (6, plot.say("theme", cast, rng), []),
        (3, article(cast.slots["thing"]), [cast.slots["thing"]]),
        (2, cast.slots["athing"], [cast.slots["thing"], cast.slots["quality"]]),
        (
            3,
            f"{hero.name} and {article(cast.slots['quality'] + ' ' + cast.slots['thing'])}",
            [hero.name, cast.slots["thing"]],
        ),
        (3, f"{a_kind} and {article(cast.slots['thing'])}", [hero.kind, cast.slots["thing"]]),
        (3, f"{a_kind} who finds {article(cast.slots['thing'])}", [hero.kind, cast.slots["thing"]]),
        (
            3,
            f"{a_kind} who [meets|becomes friends with|helps] {a_friend}",
            [hero.kind, friend.kind],
        ),
        (2, f"{hero.name} and a friend who is {a_friend}", [hero.name, friend.kind]),
        (2, f"a friendship between {a_kind} and {a_friend}", [hero.kind, friend.kind]),
        (2, f"the {hero.kind} and the {friend.kind}", [hero.kind, friend.kind]),
        (3, f"{a_kind} {cast.slots['at']}", [hero.kind, cast.slots["at"]]),
        (2, cast.slots["at"].split(" ", 1)[1], [cast.slots["at"].split(" ", 1)[1]]),
        (2, f"a {hero.kind}'s adventure", [hero.kind]),
    ]
    if several := plural(hero.kind):
        sorts.append((3, several, [hero.kind]))
    if friend.named:
        sorts += [
            (4, f"{hero.name} and {friend.name}", [hero.name, friend.name]),
            (
                4,
                f"{hero.name} the {hero.kind} and {friend.name} the {friend.kind}",
                [hero.name, hero.kind, friend.name, friend.kind],
            ),
            (
                3,
                f"{a_kind} named {hero.name} and {a_friend} named {friend.name}",
                [hero.name, hero.kind, friend.name, friend.kind],
            ),
        ]
    _, text, needed = rng.choices(sorts, [w for w, _, _ in sorts])[0]
    return choose(text, rng), needed


def tell_with(plot: Plot, cast: Cast, rng: random.Random, needed: list[str]) -> Story:
    """Tell until every needed word is in."""
    for _ in range(60):
        story = tell(plot, cast, rng)
        if all(has(story.text, word) for word in needed):
            return story
    missing = [w for w in needed if not has(story.text, w)]
    return tell(plot, cast, rng, [(class_of_missing(cast, w), w) for w in missing])


def class_of_missing(cast: Cast, word: str) -> str:
    """How to weave in a word of the topic that the plot has no slot for."""
    if word == cast.slots["at"]:
        return "place"
    if word == cast.slots["quality"]:
        return "quality"
    return "thing" if word == cast.slots["thing"] else "sight"


def about(rng: random.Random, sort: str = "topic", cast: Cast | None = None) -> Told:
    """A request with a topic."""
    cast = cast or draw_cast(rng)
    plot = rng.choice(all_plots())
    text, needed = topic(plot, cast, rng)
    if sort == "short":
        return Told(phrase("short", rng, t=text), very_short(plot, cast, rng))
    return Told(phrase(sort, rng, t=text), tell_with(plot, cast, rng, needed))


def very_short(plot: Plot, cast: Cast, rng: random.Random) -> Story:
    """The opening sentence and the summary."""
    hero, friend = cast.hero, cast.friend
    begin = rng.choice(("Once upon a time, there was {ahero}.", "There was once {ahero}."))
    middle = f"{hero.name} and {article(friend.kind)} were friends." if rng.random() < 0.3 else ""
    text = fill(f"{begin} {middle} {plot.say('summary', cast, rng)}", cast.slots)
    return Story(plot, cast, sentence_case(text))


def anything(rng: random.Random) -> Told:
    """A request without any topic."""
    story = tell(rng.choice(all_plots()), draw_cast(rng), rng)
    return Told(phrase("any", rng), story)


def titled(rng: random.Random) -> Told:
    """A request by title."""
    cast, plot = draw_cast(rng), rng.choice(all_plots())
    title = sentence_case(plot.say("title", cast, rng))
    needed = [word for word in (cast.hero.name, cast.slots["thing"]) if has(title, word)]
    return Told(phrase("title", rng, x=title), tell_with(plot, cast, rng, needed))


def continued(rng: random.Random) -> Told:
    """A request to go on from a first sentence."""
    story = tell(rng.choice(all_plots()), draw_cast(rng), rng)
    first, _, rest = re.sub(r"\s*\n+", " ", story.text).partition(". ")
    ask = fill(choose(rng.choice(asks()["continue"]), rng), {"s": first + "."})
    return Told(ask, replace(story, text=rest))
