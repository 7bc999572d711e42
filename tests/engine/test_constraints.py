"""What a completion does when its grammar's matcher gives up, with matchers that do so at will."""

import ctypes
from typing import Any

import pytest

from tercet_engine.constraints import ask
from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Grammar
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence

FULL = "too many states"


class FakeMatcher:
    """Allows the tokens of `word`; reports an error once it has consumed `capacity` tokens."""

    def __init__(self, word: int, capacity: int = 99, error: str = FULL) -> None:
        self.word, self.capacity, self.error = word, capacity, error
        self.consumed: list[int] = []

    def deep_copy(self) -> "FakeMatcher":
        return self

    def unsafe_compute_mask_ptr(self, address: int, num_bytes: int) -> None:
        assert num_bytes == 4
        ctypes.c_uint32.from_address(address).value = self.word

    def consume_token(self, token: int) -> bool:
        self.consumed.append(token)
        return not self.is_error()

    def consume_tokens(self, tokens: list[int]) -> bool:
        self.consumed += tokens
        return not self.is_error()

    def is_error(self) -> bool:
        return len(self.consumed) > self.capacity

    def get_error(self) -> str:
        return self.error if self.is_error() else ""


def grammar(matcher: Any, another: Any = None) -> Grammar:
    return Grammar(matcher, lambda: another, vocab_size=20)


def test_where_no_token_is_allowed_the_completion_fails() -> None:
    with pytest.raises(GrammarFailed):
        grammar(FakeMatcher(0)).start().mask()


def test_another_matcher_goes_on_after_all_tokens() -> None:
    another = FakeMatcher(0b100)
    constraint = grammar(FakeMatcher(0b11, capacity=2), another).start()
    for token in (0, 1, 1):
        constraint.accept(token)

    assert another.consumed == [0, 1, 1]
    assert constraint.mask().tolist() == [0b100]


def test_a_completion_fails_whose_tokens_alone_are_too_much() -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), FakeMatcher(1, capacity=0)).start()
    with pytest.raises(GrammarFailed):
        constraint.accept(0)


def test_another_error_is_not_tried_again() -> None:
    another = FakeMatcher(1)
    with pytest.raises(GrammarFailed):
        grammar(FakeMatcher(1, capacity=0, error="no such token"), another).start().accept(0)
    assert not another.consumed


def test_a_grammar_that_fails_costs_the_others_nothing() -> None:
    def chunk(number: int, matcher: Any) -> Chunk:
        constraint = grammar(matcher).start() if matcher else None
        return Chunk(Sequence(number, [1], SamplingParams(), 4, constraint=constraint), 1)

    failing, obeying, free = chunk(0, FakeMatcher(0)), chunk(1, FakeMatcher(0b10)), chunk(2, None)
    asked = ask([failing, obeying, free])

    assert asked.chunks == [obeying, free]
    assert asked.failed == [failing.seq]
    assert {number: mask.tolist() for number, mask in asked.masks.items()} == {1: [0b10]}
