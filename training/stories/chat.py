"""Whole conversations: a system line now and then, stories, follow-up questions and small talk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .asks import phrase
from .cast import assemble, draw_cast, draw_character
from .expand import fill, sentence_case
from .plots import all_plots, tell
from .requests import Told, about
from .smalltalk import exchange, one_of, talk
from .words import draw_request

if TYPE_CHECKING:
    import random

Turn = tuple[str, str]
SYSTEMS = (
    "You are a [helpful|friendly|kind|helpful AI|polite|useful] assistant.",
    "You are a story teller.",
    "You tell [short |]stories [for|to] children.",
    "Be kind and helpful.",
    "Answer in simple words.",
    "You are a helpful assistant. Answer [briefly|shortly|in one sentence].",
    "Be brief.",
    "Be [nice|concise|polite].",
    "You are tercet-tiny.",
    "You are a [writer|poet|teacher|robot|pirate|chatbot].",
    "Keep your answers short.",
    "You are a helpful assistant that tells stories.",
    "You are an AI.",
    "Today is [Monday|Friday|Sunday].",
)


def conversation(rng: random.Random) -> list[Turn]:
    """One conversation, ending with the assistant."""
    turns: list[Turn] = []
    if rng.random() < 0.15:
        turns.append(("system", one_of(rng.choice(SYSTEMS), rng)))
    sort = rng.random()
    if sort < 0.35:
        for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
            turns += as_turns(*exchange(rng))
        return turns
    if rng.random() < 0.05:
        turns += as_turns(*talk(rng))
    told = draw_request(rng)
    turns += as_turns(told.ask, told.story.text)
    if sort < 0.52:
        turns += follow_up(told, rng)
        if rng.random() < 0.2:
            turns += follow_up(told, rng)
    return turns


def as_turns(ask: str, answer: str) -> list[Turn]:
    """A question of the user and its answer."""
    return [("user", ask), ("assistant", answer)]


def follow_up(told: Told, rng: random.Random) -> list[Turn]:
    """What a user may say after a story."""
    make = rng.choices(
        (another, again_hero, next_day, shorter, facts, talk_after), (34, 8, 8, 10, 22, 18)
    )[0]
    return make(told, rng)


def talk_after(_: Told, rng: random.Random) -> list[Turn]:
    """Thanks, praise, a farewell, or anything else."""
    return as_turns(*exchange(rng))


def another(told: Told, rng: random.Random) -> list[Turn]:
    """A new story, not the same one again."""
    if rng.random() < 0.35:
        return as_turns(*pair(about(rng, "more_topic")))
    if rng.random() < 0.25:
        return as_turns(*pair(draw_request(rng)))
    plot = rng.choice([p for p in all_plots() if p is not told.story.plot])
    return as_turns(phrase("more", rng), tell(plot, draw_cast(rng), rng).text)


def pair(told: Told) -> tuple[str, str]:
    """Question and answer."""
    return told.ask, told.story.text


def again_hero(told: Told, rng: random.Random) -> list[Turn]:
    """Another story of the same hero."""
    hero = told.story.cast.hero
    cast = assemble(hero, draw_character(rng, avoid=hero), rng)
    plot = rng.choice([p for p in all_plots() if p is not told.story.plot])
    return as_turns(phrase("again_hero", rng, name=hero.name), tell(plot, cast, rng).text)


def next_day(told: Told, rng: random.Random) -> list[Turn]:
    """The story goes on with the same two friends."""
    old = told.story.cast
    cast = assemble(old.hero, old.friend, rng).with_slots(afriend=old.slots["fboth"])
    plot = rng.choice(
        [p for p in all_plots() if p is not told.story.plot and p.name not in ("egg", "friend")]
    )
    text = "The next day came. " + tell(plot, cast, rng, opening=False).text
    return as_turns(phrase("next", rng, name=old.hero.name), text)


def shorter(told: Told, rng: random.Random) -> list[Turn]:
    """The same story in two sentences."""
    text = told.story.plot.say("summary", told.story.cast, rng)
    return as_turns(phrase("shorter", rng), sentence_case(text))


def facts(told: Told, rng: random.Random) -> list[Turn]:
    """A question about the story, with an answer that is true of it."""
    story, slots = told.story, told.story.cast.slots
    choices = [
        ("who", ("{name}.", "The story is about {name}.", "It is about {name} the {kind}.")),
        ("moral", tuple(story.plot.head["moral"])),
        ("name_title", (f'"{sentence_case(story.plot.say("title", story.cast, rng))}"',)),
    ]
    if story.cast.friend.named and story.cast.friend.name in story.text:
        choices.append(("friend_who", ("{fname} the {fkind}.", "It was {fname}, {afkind}.")))
    sort, answers = rng.choices(choices, [5, 2, 2, 3][: len(choices)])[0]
    return as_turns(phrase(sort, rng, **slots), sentence_case(fill(rng.choice(answers), slots)))
