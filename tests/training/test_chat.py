"""Conversations and their tokens: roles in turn, honest answers, prompts as servers render them."""

import random
import re
from typing import TYPE_CHECKING

import pytest
from jinja2 import Environment
from tokenizers import Tokenizer
from training.corpus import documents, pack
from training.evaluate import Question, faults
from training.stories.chat import conversation
from training.stories.smalltalk import addition, exchange, poem, talk, unknown
from training.tokenizer import CHAT_TEMPLATE, LEARNED, SPECIALS, Encoder, prompt, train_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    chats = [conversation(random.Random(seed)) for seed in range(300)]
    return train_tokenizer((prompt(c[:-1]) + c[-1][1] for c in chats), 1024)


@pytest.fixture(scope="module")
def encoder(tokenizer: Tokenizer) -> Encoder:
    return Encoder(tokenizer)


def render(turns: list[tuple[str, str]]) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    return (
        Environment()
        .from_string(CHAT_TEMPLATE)
        .render(messages=messages, add_generation_prompt=True)
    )


def test_user_and_assistant_take_turns(rng: random.Random) -> None:
    for _ in range(500):
        roles = [role for role, _ in conversation(rng)]
        spoken = roles[1:] if roles[0] == "system" else roles
        assert spoken == ["user", "assistant"] * (len(spoken) // 2)


def test_no_turn_is_empty_or_shows_a_template(rng: random.Random) -> None:
    for _ in range(500):
        for _, content in conversation(rng):
            assert content == content.strip() != ""
            assert not re.search(r"[{}|]|  ", content), content


@pytest.mark.parametrize("make", [addition, exchange, poem, talk, unknown])
def test_small_talk_has_answers_without_holes(make, rng: random.Random) -> None:
    for _ in range(400):
        ask, answer = make(rng)
        assert ask
        assert answer == answer.strip() != ""
        assert not re.search(r"[{}|\[\]]|  ", answer)


def test_sums_are_right(rng: random.Random) -> None:
    for _ in range(100):
        a, b, total = map(int, re.findall(r"\d+", addition(rng)[1]))
        assert a + b == total


def test_what_it_cannot_know_it_does_not_claim_to_know(rng: random.Random) -> None:
    assert all(re.search("tiny model|very small model", unknown(rng)[1]) for _ in range(200))


def test_special_tokens_have_the_last_ids(tokenizer: Tokenizer) -> None:
    size = tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(t) for t in SPECIALS] == list(range(size - len(SPECIALS), size))


def test_a_prompt_is_split_in_training_as_in_a_server(
    encoder: Encoder, tokenizer: Tokenizer
) -> None:
    for seed in range(200):
        turns = conversation(random.Random(seed))
        served = tokenizer.encode(render(turns[:-1])).ids
        trained = [i & (LEARNED - 1) for i in encoder.chat(turns)]
        assert trained[: len(served)] == served


def test_only_what_the_assistant_says_is_learned(encoder: Encoder, tokenizer: Tokenizer) -> None:
    ids = encoder.chat(
        [("user", "Hello!"), ("assistant", "Hi!"), ("user", "Bye!"), ("assistant", "See you!")]
    )
    learned = tokenizer.decode(
        [i & (LEARNED - 1) for i in ids if i >= LEARNED], skip_special_tokens=False
    )
    assert learned.endswith("!<|eot_id|>See you!<|eot_id|>")
    assert "Hello" not in learned
    assert "Bye" not in learned


def test_packed_rows_hold_whole_documents(encoder: Encoder) -> None:
    source: Iterator[list[int]] = documents(encoder, ["A natural story."], 0.1, random.Random(1))
    rows = pack(source.__next__, 20, 512, encoder.eos)
    assert rows.shape == (20, 512)
    assert (rows[:, 0] == encoder.bos).all()
    ends = (rows == (encoder.eot | LEARNED)) | (rows == (encoder.eos | LEARNED))
    assert (ends.sum(1) >= (rows == encoder.bos).sum(1)).all()


@pytest.mark.parametrize(
    ("answer", "ended", "found"),
    [
        ("Max ran home. " * 30, True, ["repeats itself"]),
        ("Hello.", True, ["lacks max", "no story"]),
        ("Max " + "ran and ran " * 20 + "home.", False, ["does not end"]),
        ("Max " + "ran and ran " * 20 + "home.", True, []),
    ],
)
def test_the_evaluation_sees_faults(answer: str, ended: bool, found: list[str]) -> None:
    assert faults(Question([], ["max"], story=True), answer, ended=ended) == found
