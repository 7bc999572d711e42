"""What a completion does when its grammar's matcher gives up, with matchers that do so at will."""

import ctypes
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import pytest

from tercet_engine.constraints import ask, masks_of
from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Grammar
from tercet_engine.grammar_renewer import Renewer
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


@pytest.fixture
def renewer() -> Iterator[Renewer]:
    renewer = Renewer()
    yield renewer
    renewer.close()


class Compiled(Protocol):
    def __call__(self, matcher: Any, another: Any = None) -> Grammar: ...


@pytest.fixture
def grammar(renewer: Renewer) -> Compiled:
    def compiled(matcher: Any, another: Any = None) -> Grammar:
        again = another if callable(another) else lambda: another
        return Grammar(matcher, np.array([0b1], np.uint32), again, renewer)

    return compiled


def test_the_first_mask_needs_no_asking(grammar: Compiled) -> None:
    constraint = grammar(FakeMatcher(0)).start()
    assert constraint.find_out()
    assert constraint.known_mask().tolist() == [0b1]


def test_where_no_token_is_allowed_the_completion_fails(grammar: Compiled) -> None:
    constraint = grammar(FakeMatcher(0)).start()
    constraint.accept(0)
    with pytest.raises(GrammarFailed):
        constraint.mask()


@pytest.mark.parametrize("error", [FULL, "no such token"])
def test_whatever_a_shared_matcher_fails_by_another_goes_on_after_all_tokens(
    grammar: Compiled, error: str
) -> None:
    another = FakeMatcher(0b100)
    constraint = grammar(FakeMatcher(0b11, capacity=2, error=error), another).start()
    for token in (0, 1, 1):
        constraint.accept(token)

    assert constraint.mask().tolist() == [0b100]
    assert another.consumed == [0, 1, 1]


def test_a_completion_fails_whose_tokens_alone_are_too_much(grammar: Compiled) -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), FakeMatcher(1, capacity=0)).start()
    constraint.accept(0)
    with pytest.raises(GrammarFailed):
        constraint.mask()


def test_only_a_matcher_that_nobody_shares_decides(grammar: Compiled) -> None:
    renewed = [FakeMatcher(0b10, capacity=1), FakeMatcher(0b100)]
    same = grammar(FakeMatcher(1, capacity=0), iter(renewed).__next__)
    one, other = same.start(), same.start()
    for constraint in (one, other):
        constraint.accept(0)
    assert one.mask().tolist() == [0b10]
    assert other.mask().tolist() == [0b100]


def test_later_completions_find_the_room_that_was_made_while_it_is_in_use(
    grammar: Compiled,
) -> None:
    new = iter([FakeMatcher(0b100), FakeMatcher(0b1000)])
    same = grammar(FakeMatcher(1, capacity=0), new.__next__)
    one, other = same.start(), same.start()
    for constraint in (one, other):
        constraint.accept(0)
        assert constraint.mask().tolist() == [0b100]
    del one, other, constraint

    later = same.start()
    later.accept(0)
    assert later.mask().tolist() == [0b1000]


def test_a_completion_that_fails_alone_leaves_the_others_what_they_had(grammar: Compiled) -> None:
    class Alone(FakeMatcher):
        def deep_copy(self) -> FakeMatcher:
            return Alone(self.word, self.capacity)

    same = grammar(Alone(0b10, capacity=1), FakeMatcher(1, capacity=0))
    failing = same.start()
    for _ in range(2):
        failing.accept(0)
    with pytest.raises(GrammarFailed):
        failing.mask()

    later = same.start()
    later.accept(0)

    assert later.mask().tolist() == [0b10]


def test_a_compiler_that_fails_fails_the_completion(grammar: Compiled) -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), lambda: 1 // 0).start()
    constraint.accept(0)
    with pytest.raises(GrammarFailed):
        constraint.mask()


@pytest.mark.timeout(30)
def test_closing_the_engine_fails_the_completion(grammar: Compiled, renewer: Renewer) -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), FakeMatcher(1)).start()
    constraint.accept(0)
    renewer.close()
    with pytest.raises(GrammarFailed):
        constraint.mask()


def test_a_grammar_that_fails_costs_the_others_nothing(grammar: Compiled) -> None:
    def sequence(number: int, matcher: Any) -> Sequence:
        constraint = grammar(matcher).start() if matcher else None
        if constraint:
            constraint.accept(0)
        return Sequence(number, [1], SamplingParams(), 4, constraint=constraint)

    failing, obeying = sequence(0, FakeMatcher(0)), sequence(1, FakeMatcher(0b10))
    free = sequence(2, None)
    unknown = ask([failing, obeying, free])

    assert unknown.failed == [failing]
    assert not unknown.held
    masks = masks_of([Chunk(obeying, 1), Chunk(free, 1)])
    assert {number: mask.tolist() for number, mask in masks.items()} == {1: [0b10]}
