"""Requests for a story that holds given words, and the choice among all sorts of requests."""

from __future__ import annotations

import random
from dataclasses import replace

from .asks import phrase
from .cast import Cast, Character, assemble, draw_cast
from .expand import article
from .lexicon import draw, past_tense
from .plots import all_plots, tell
from .requests import PREFACES, Told, about, anything, continued, has, place_of, titled

WORD_CLASSES = {
    "thing": ("things", 26),
    "sight": ("sights", 22),
    "food": ("foods", 10),
    "animal": ("animals", 16),
    "person": ("men", 4),
    "mass": ("mass", 6),
    "trait": ("traits", 10),
    "quality": ("qualities", 9),
    "mood": ("moods", 14),
    "verb": ("verbs", 16),
}
JOINERS = (", ", ", ", ", ", " and ", " ", " / ", ", ")


def draw_words(rng: random.Random) -> list[tuple[str, str]]:
    """One to five different words with their classes."""
    count = rng.choices((1, 2, 3, 4, 5), (1, 2, 8, 2, 1))[0]
    words: dict[str, str] = {}
    while len(words) < count:
        group = rng.choices(list(WORD_CLASSES), [w for _, w in WORD_CLASSES.values()])[0]
        words.setdefault(
            draw(WORD_CLASSES[group][0], rng).split()[0]
            if group == "verb"
            else draw(WORD_CLASSES[group][0], rng),
            group,
        )
    return [(group, word) for word, group in words.items()]


def list_words(words: list[str], rng: random.Random) -> str:
    """Write the words as a user may list them."""
    words = [f'"{w}"' for w in words] if rng.random() < 0.15 else words
    if len(words) > 1 and rng.random() < 0.3:
        return f"{', '.join(words[:-1])}{rng.choice((' and ', ', and '))}{words[-1]}"
    return rng.choice(JOINERS).join(words)


def cast_with(words: list[tuple[str, str]], rng: random.Random, *, props: bool) -> Cast:
    """A cast in which the words have parts where a part fits; as `props` only if so wished."""
    cast = draw_cast(rng)
    hero, friend, changes = cast.hero, cast.friend, dict[str, str]()
    for group, word in words:
        if group in ("animal", "person") and rng.random() < 0.8:
            if rng.random() < 0.6 and word != friend.kind:
                hero = replace(hero, kind=word)
            elif word != hero.kind:
                friend = replace(friend, kind=word)
        elif group == "trait":
            hero = replace(hero, trait=word)
        elif group == "thing" and props:
            changes["thing"] = word
        elif group == "quality" and props:
            changes["quality"] = word
        elif group == "verb":
            changes |= {"verb": word, "verbed": past_tense(word)}
    cast = assemble(consistent(hero), consistent(friend), rng)
    thing, quality = (
        changes.get("thing", cast.slots["thing"]),
        changes.get("quality", cast.slots["quality"]),
    )
    return cast.with_slots(**changes, athing=article(f"{quality} {thing}"))


def consistent(character: Character) -> Character:
    """A king stays he, whatever his name was drawn for."""
    gender = (
        "m" if character.kind in ("king", "prince", "wizard", "boy", "man") else character.gender
    )
    return replace(character, gender=gender)


def with_words(rng: random.Random) -> Told:
    """A request for given words."""
    words = draw_words(rng)
    # Mostly the words come right after the opening, where they are surest to be remembered.
    at_once = rng.random() < 0.65
    cast, plot = cast_with(words, rng, props=not at_once), rng.choice(all_plots())
    seed = rng.getrandbits(32)
    woven: list[tuple[str, str]] = []
    story = tell(plot, cast, random.Random(seed))
    while missing := [pair for pair in words if not has(story.text, pair[1])]:
        woven += missing  # weaving may unsay a word which stood there by chance, hence the loop
        story = tell(plot, cast, random.Random(seed), woven, at_once=at_once)
    # In the order of the story: what to tell next is then simply the next word.
    asked = sorted((word for _, word in words), key=lambda w: place_of(story.text, w))
    return Told(phrase("words", rng, w=list_words(asked, rng)), story)


REQUESTS = ((about, 48), (with_words, 34), (anything, 9), (titled, 4), (continued, 4))


def draw_request(rng: random.Random) -> Told:
    """Any request with its story, now and then with a word of preface."""
    if rng.random() < 0.05:
        return about(rng, "short")
    make = rng.choices([f for f, _ in REQUESTS], [w for _, w in REQUESTS])[0]
    told = make(rng)
    if make in (about, anything) and rng.random() < 0.04:
        text = f"{rng.choice(PREFACES)}\n\n{told.story.text}"
        return replace(told, story=replace(told.story, text=text))
    return told
