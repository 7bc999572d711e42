"""The generator of stories: what is asked for is told, and no template shows through."""

import random
import re

import pytest
from training.stories.cast import draw_cast, draw_character
from training.stories.expand import article, choose, sentence_case
from training.stories.lexicon import invented_name, past_tense
from training.stories.plots import Plot, all_plots, tell
from training.stories.requests import about, continued, has, tell_with, topic
from training.stories.words import draw_request, draw_words, with_words

HOLE = re.compile(r"[{}\[\]|_]|  | \.| ,|\b[Aa] [aeio](?!ne)|\b[Aa]n [^aeiouhI]")


@pytest.mark.parametrize("plot", all_plots(), ids=lambda plot: plot.name)
def test_every_way_through_a_plot_is_free_of_holes(plot: Plot, rng: random.Random) -> None:
    for _ in range(60):
        cast = draw_cast(rng)
        story = tell(plot, cast, rng)
        assert not HOLE.search(story.text), story.text
        assert all(s[0].isupper() or s[0] == '"' for s in story.text.split("\n\n"))
        for key in ("title", "moral", "summary", "theme", "who"):
            assert not HOLE.search(plot.say(key, cast, rng))


@pytest.mark.parametrize("plot", all_plots(), ids=lambda plot: plot.name)
def test_hero_and_friend_occur_in_every_plot(plot: Plot, rng: random.Random) -> None:
    for _ in range(20):
        cast = draw_cast(rng)
        text = tell(plot, cast, rng).text
        assert has(text, cast.hero.name)
        assert has(text, cast.hero.kind)
        assert has(text, cast.friend.kind)


def test_the_words_of_a_topic_stand_in_its_story(rng: random.Random) -> None:
    for _ in range(400):
        cast, plot = draw_cast(rng), rng.choice(all_plots())
        _, needed = topic(plot, cast, rng)
        text = tell_with(plot, cast, rng, needed).text
        assert all(has(text, word) for word in needed), (needed, text)


def test_given_words_stand_in_the_story() -> None:
    for seed in range(400):
        words = [word for _, word in draw_words(random.Random(seed))]
        told = with_words(random.Random(seed))
        missing = [word for word in words if not has(told.story.text, word)]
        assert not missing, (missing, told)
        assert all(word.lower() in told.ask.lower() for word in words)


def test_the_name_of_the_request_is_the_name_of_the_hero(rng: random.Random) -> None:
    for _ in range(200):
        told = about(rng)
        named = re.search(r"named (\S+?)[.,!?]*$", told.ask)
        if named:
            assert has(told.story.text, named[1])


def test_a_continued_story_does_not_repeat_its_beginning(rng: random.Random) -> None:
    told = continued(rng)
    assert told.story.text.split(". ")[0] not in told.ask


def test_the_same_seed_gives_the_same_story() -> None:
    assert draw_request(random.Random(3)) == draw_request(random.Random(3))
    assert draw_request(random.Random(3)) != draw_request(random.Random(4))


def test_stories_differ() -> None:
    texts = {draw_request(random.Random(seed)).story.text for seed in range(500)}
    assert len(texts) == 500


def test_friends_differ_from_heroes(rng: random.Random) -> None:
    hero = draw_character(rng)
    friends = [draw_character(rng, avoid=hero) for _ in range(300)]
    assert all(f.kind != hero.kind and f.name != hero.name for f in friends)


@pytest.mark.parametrize(
    ("noun", "expected"),
    [
        ("owl", "an owl"),
        ("unicorn", "a unicorn"),
        ("honest fox", "an honest fox"),
        ("cat", "a cat"),
    ],
)
def test_articles(noun: str, expected: str) -> None:
    assert article(noun) == expected


def test_sentences_begin_with_capitals() -> None:
    assert (
        sentence_case("the cat  sat. it ran! was it fast?") == "The cat sat. It ran! Was it fast?"
    )
    assert sentence_case('"come!" said the cat.') == '"Come!" said the cat.'


def test_choices_may_be_nested(rng: random.Random) -> None:
    assert {choose("a[b|[c|d]]", rng) for _ in range(60)} == {"ab", "ac", "ad"}


def test_invented_names_can_be_spoken(rng: random.Random) -> None:
    assert all(re.fullmatch(r"[A-Z][a-z]+", invented_name(rng)) for _ in range(200))
    assert past_tense("swim") == "swam"
