"""Who and what a story is about: a hero, a friend, a few things, foods and places."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .expand import article
from .lexicon import draw, invented_name, past_tense, word_list

if TYPE_CHECKING:
    import random

SMALL_WORDS = {"little", "small", "big", "tiny", "old", "young", "magic", "toy", "wooden"}
PRONOUNS = {"f": ("she", "her", "her", "herself"), "m": ("he", "him", "his", "himself")}


@dataclass(frozen=True, slots=True)
class Character:
    """One person, animal or creature; an unnamed one is called by its kind."""

    kind: str
    name: str
    gender: str
    trait: str
    named: bool = True

    @property
    def described(self) -> str:
        """With article, as at the first mention."""
        text = article(f"{self.trait} {self.kind}".strip())
        return f"{text} named {self.name}" if self.named else text


@dataclass(frozen=True, slots=True)
class Cast:
    """Everything a plot can put into its sentences."""

    hero: Character
    friend: Character
    slots: dict[str, str]

    def with_slots(self, **changes: str) -> Cast:
        """The same cast with some words replaced."""
        return replace(self, slots={**self.slots, **changes})


def draw_kind(rng: random.Random) -> str:
    """A dog is likelier than a gecko, and a girl or boy than a blacksmith."""
    group = rng.choices(("animals", "women", "men", "creatures"), (46, 16, 18, 20))[0]
    return draw(group, rng)


def gender_of(kind: str, rng: random.Random) -> str:
    """Girls and queens are she, boys and kings are he, a dog may be either."""
    women, men = word_list("women").words, word_list("men").words
    if (kind in women) != (kind in men):
        return "f" if kind in women else "m"
    return rng.choice("fm")


def draw_character(
    rng: random.Random, kind: str | None = None, avoid: Character | None = None
) -> Character:
    """A new character who shares neither name nor kind with `avoid`."""
    taken = (avoid.kind, avoid.name) if avoid else ()
    while kind is None or kind in taken:
        kind = draw_kind(rng)
    gender = gender_of(kind, rng)
    name = ""
    while not name or name in taken:
        name = (
            invented_name(rng)
            if rng.random() < 0.14
            else draw("girls" if gender == "f" else "boys", rng)
        )
    trait = draw("traits", rng)
    person = kind in word_list("women").words or kind in word_list("men").words
    if SMALL_WORDS & set(kind.split()) or rng.random() < (0.6 if person else 0.1):
        trait = draw("virtues", rng)
    return Character(kind, name, gender, trait)


def hero_slots(hero: Character, rng: random.Random) -> dict[str, str]:
    """How the hero is spoken of."""
    he, him, his, himself = PRONOUNS[hero.gender]
    traitkind = f"{hero.trait} {hero.kind}"
    described = hero.described
    if rng.random() < 0.25:
        described = described.replace(" named ", " called ")
    elif rng.random() < 0.2:
        described = f"{article(traitkind)} whose name was {hero.name}"
    return {
        "name": hero.name,
        "kind": hero.kind,
        "trait": hero.trait,
        "ahero": described,
        "atraitkind": article(traitkind),
        "he": he,
        "him": him,
        "his": his,
        "himself": himself,
        "He": he.capitalize(),
        "His": his.capitalize(),
    }


def friend_slots(friend: Character) -> dict[str, str]:
    """How the friend is spoken of."""
    he, him, his, _ = PRONOUNS[friend.gender]
    short = friend.name if friend.named else f"the {friend.kind}"
    return {
        "friend": short,
        "fname": short,
        "fkind": friend.kind,
        "afkind": article(friend.kind),
        "afriend": friend.described,
        "fhe": he,
        "fhim": him,
        "fhis": his,
        "Fhe": he.capitalize(),
        "fboth": f"{friend.name} the {friend.kind}" if friend.named else short,
        "fcall": friend.name if friend.named else "my friend",
    }


def some_food(rng: random.Random) -> str:
    """A phrase for something to eat, with article or `some`."""
    if rng.random() < 0.5:
        return "some " + draw("dishes", rng)
    return article(draw("foods", rng))


def prop_slots(rng: random.Random) -> dict[str, str]:
    """Things, foods, places, feelings and verbs."""
    thing, thing2 = draw("things", rng), draw("things", rng)
    quality, quality2 = draw("qualities", rng), draw("qualities", rng)
    verb = draw("play_verbs", rng)
    verb2 = rng.choice([v for v in word_list("play_verbs").words if v != verb])
    at = draw("places", rng)
    return {
        "thing": thing,
        "quality": quality,
        "athing": article(f"{quality} {thing}"),
        "thing2": thing2,
        "quality2": quality2,
        "athing2": article(f"{quality2} {thing2}"),
        "at": at,
        "to": "to " + at.split(" ", 1)[1],
        "home": draw("homes", rng),
        "afood": article(draw("foods", rng)),
        "somefood": some_food(rng),
        "somefood2": some_food(rng),
        "food": draw("dishes", rng),
        "foodname": draw("dishes", rng),
        "veg": draw("ingredients", rng),
        "skill": draw("skills", rng),
        "verb": verb,
        "verbed": past_tense(verb),
        "verb2": verb2,
        "good": draw("feelings", rng),
        "bad": draw("bad_feelings", rng),
        "bad2": draw("bad_feelings", rng),
        "trait2": draw("virtues", rng),
        "color": draw("colors", rng),
        "built": draw("buildings", rng),
        "hideplace": rng.choice(
            ("under the bed", "behind a tree", "in a box", "under a stone", "in the garden")
        ),
    }


def assemble(hero: Character, friend: Character, rng: random.Random) -> Cast:
    """A cast around two characters."""
    return Cast(hero, friend, prop_slots(rng) | hero_slots(hero, rng) | friend_slots(friend))


def draw_cast(rng: random.Random, kind: str | None = None, friend_kind: str | None = None) -> Cast:
    """A whole new cast."""
    hero = draw_character(rng, kind)
    friend = draw_character(rng, friend_kind, avoid=hero)
    if rng.random() < 0.35:
        friend = replace(friend, named=False)
    return assemble(hero, friend, rng)
