"""Small talk, sums, poems, and honest answers to what a model this small cannot know."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .asks import phrase
from .expand import choose, fill, sentence_case
from .lexicon import draw, invented_name

if TYPE_CHECKING:
    import random

HERE = Path(__file__).parent
SOUNDS = {
    "dog": "woof",
    "cat": "meow",
    "cow": "moo",
    "duck": "quack",
    "sheep": "baa",
    "pig": "oink",
    "frog": "ribbit",
    "bee": "buzz",
    "owl": "hoot",
    "horse": "neigh",
    "lion": "roar",
    "bird": "tweet",
    "mouse": "squeak",
}
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
LARGEST_SUMMAND = 5
UNKNOWN = (
    "I do not know that. I am [a tiny model that tells|only a tiny model and tell] short stories.",
    "I am sorry, I do not know that. {me} that tells short stories. [|Shall I tell you one?]",
    "That is too hard for me. {me}, and I only tell short stories. [|Would you like one?]",
    "I can not do that. I am a very small model that tells short stories. [|Shall I tell one?]",
)
POEM_WORDS = ("sights", "things", "animals", "mass", "sights", "creatures")


def one_of(ways: str, rng: random.Random) -> str:
    """One of several templates parted by ` | `."""
    return choose(rng.choice(ways.split(" | ")).strip(), rng)


@cache
def blocks() -> tuple[tuple[str, str], ...]:
    """(questions, answers) of `smalltalk.txt`."""
    found = []
    for block in (HERE / "smalltalk.txt").read_text().split("\n\n"):
        lines = [line[2:] for line in block.strip().splitlines() if not line.startswith("#")]
        found.append((lines[0], lines[1]))
    return tuple(found)


@cache
def unknown_questions() -> tuple[str, ...]:
    """One string of alternatives per line of `unknown.txt`."""
    return tuple(
        s for s in (HERE / "unknown.txt").read_text().splitlines() if not s.startswith("#")
    )


@cache
def knowledge() -> dict[str, str]:
    """The names that questions are filled with."""
    return dict(line.split(": ", 1) for line in (HERE / "knowledge.txt").read_text().splitlines())


def weighted(entries: str, rng: random.Random) -> str:
    """Draw from `France*5, Chile`."""
    pairs = [entry.strip().partition("*") for entry in entries.split(",")]
    return rng.choices([word for word, _, _ in pairs], [float(w or 1) for _, _, w in pairs])[0]


def question_slots(rng: random.Random) -> dict[str, str]:
    """Names and numbers for a question."""
    names = knowledge()
    return {
        "country": weighted(names["countries"], rng),
        "language": weighted(names["languages"], rng),
        "tongue": weighted(names["tongues"], rng),
        "n": str(rng.randint(6, 99)),
        "m": str(rng.randint(2, 30)),
        "year": str(rng.randint(1000, 2030)),
        "thing": draw("things", rng),
        "mass": draw("mass", rng),
        "trait": draw("traits", rng),
    }


def unknown(rng: random.Random) -> tuple[str, str]:
    """A question that the model cannot answer, and its honest answer."""
    ask = fill(one_of(rng.choice(unknown_questions()), rng), question_slots(rng))
    return vary(ask, rng), fill(
        choose(rng.choice(UNKNOWN), rng), {"me": "I am a tiny model"}
    ).strip()


def vary(ask: str, rng: random.Random) -> str:
    """Users do not always write capitals and full stops."""
    if rng.random() < 0.12:
        ask = ask.lower()
    if rng.random() < 0.08:
        ask = ask.rstrip(".?!")
    return f"Please {ask[0].lower()}{ask[1:]}" if rng.random() < 0.03 and len(ask) > 1 else ask


def talk(rng: random.Random) -> tuple[str, str]:
    """A greeting, a question about the model, thanks, a farewell and the like."""
    # The first twenty blocks are what people really type; the rest are rarer.
    weights = [3.0] * 20 + [1.0] * (len(blocks()) - 20)
    questions, answers = rng.choices(blocks(), weights)[0]
    name = invented_name(rng) if rng.random() < 0.2 else draw(rng.choice(("girls", "boys")), rng)
    animal = rng.choice(list(SOUNDS))
    word = name if "{name}" in answers else draw("things", rng)
    slots = {"name": name, "word": word, "soundkind": animal, "sound": SOUNDS[animal]}
    ask = one_of(questions, rng)
    if "{name}" in ask and "{Word}" in answers:
        slots["word"] = name
    return fill(ask, slots), sentence_case(fill(one_of(answers, rng), slots))


def addition(rng: random.Random) -> tuple[str, str]:
    """A sum small enough to be learned by heart."""
    a, b = rng.choice(
        ((1, 1), (2, 2), (rng.randint(1, LARGEST_SUMMAND), rng.randint(1, LARGEST_SUMMAND)))
    )
    slots = {"a": str(a), "b": str(b), "one": NUMBERS[a], "two": NUMBERS[b]}
    return phrase("sum", rng, **slots), f"{a} + {b} = {a + b}."


def poem(rng: random.Random) -> tuple[str, str]:
    """A little poem or haiku about one thing."""
    group = rng.choice(POEM_WORDS)
    topic = draw(group, rng)
    the = topic if group == "mass" else f"the {topic}"
    if group == "mass" and topic.startswith("the "):
        topic = topic[4:]
    slots = {"topic": topic, "the": the}
    haiku = rng.random() < 0.35
    lines = (HERE / ("haikus.txt" if haiku else "poems.txt")).read_text().splitlines()
    text = fill(choose(rng.choice([s for s in lines if not s.startswith("#")]), rng), slots)
    asked = (
        the
        if rng.random() < 0.7
        else topic
        if rng.random() < 0.3 or group == "mass"
        else f"a {topic}"
    )
    sort = "haiku" if haiku else "poem" if rng.random() < 0.93 else "any_poem"
    ask = phrase(sort, rng, topic=topic, the=asked)
    return ask, "\n".join(line.strip()[:1].upper() + line.strip()[1:] for line in text.split(" / "))


def exchange(rng: random.Random) -> tuple[str, str]:
    """One question and answer that is no story."""
    make = rng.choices((talk, unknown, poem, addition), (58, 25, 11, 6))[0]
    return make(rng)
