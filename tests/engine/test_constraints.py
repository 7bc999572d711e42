"""What a completion does when its grammar's matcher gives up, with matchers that do so at will."""

import ctypes
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

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


@pytest.fixture
def renewer() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


class Compiled(Protocol):
    def __call__(self, matcher: Any, another: Any = None) -> Grammar: ...


@pytest.fixture
def grammar(renewer: ThreadPoolExecutor) -> Compiled:
    def compiled(matcher: Any, another: Any = None) -> Grammar:
        again = another if callable(another) else lambda: another
        return Grammar(matcher, again, 20, renewer)

    return compiled


def test_where_no_token_is_allowed_the_completion_fails(grammar: Compiled) -> None:
    with pytest.raises(GrammarFailed):
        grammar(FakeMatcher(0)).start().mask()


def test_another_matcher_goes_on_after_all_tokens(grammar: Compiled) -> None:
    another = FakeMatcher(0b100)
    constraint = grammar(FakeMatcher(0b11, capacity=2), another).start()
    for token in (0, 1, 1):
        constraint.accept(token)

    assert constraint.mask().tolist() == [0b100]
    assert another.consumed == [0, 1, 1]


def test_a_completion_fails_whose_tokens_alone_are_too_much(grammar: Compiled) -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), FakeMatcher(1, capacity=0)).start()
    constraint.accept(0)
    with pytest.raises(GrammarFailed):
        constraint.mask()


def test_a_completion_goes_on_with_the_matcher_that_another_has_renewed(grammar: Compiled) -> None:
    later = FakeMatcher(0b100)
    same = grammar(FakeMatcher(1, capacity=0), iter([later]).__next__)
    for constraint in (same.start(), same.start()):
        constraint.accept(0)
        assert constraint.mask().tolist() == [0b100]


def test_where_the_renewed_matcher_is_full_too_a_new_one_decides(grammar: Compiled) -> None:
    renewed = [FakeMatcher(0b10, capacity=1), FakeMatcher(0b100)]
    same = grammar(FakeMatcher(1, capacity=0), iter(renewed).__next__)
    one, other = same.start(), same.start()
    for constraint in (one, other):
        constraint.accept(0)
    assert one.mask().tolist() == [0b10]
    assert other.mask().tolist() == [0b100]


def test_a_compiler_that_fails_fails_the_completion(grammar: Compiled) -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), lambda: 1 // 0).start()
    constraint.accept(0)
    with pytest.raises(GrammarFailed):
        constraint.mask()


def test_a_closed_engine_fails_the_completion(
    grammar: Compiled, renewer: ThreadPoolExecutor
) -> None:
    constraint = grammar(FakeMatcher(1, capacity=0), FakeMatcher(1)).start()
    constraint.accept(0)
    renewer.shutdown()
    with pytest.raises(GrammarFailed):
        constraint.mask()


def test_another_error_is_not_tried_again(grammar: Compiled) -> None:
    another = FakeMatcher(1)
    with pytest.raises(GrammarFailed):
        grammar(FakeMatcher(1, capacity=0, error="no such token"), another).start().accept(0)
    assert not another.consumed


def test_a_grammar_that_fails_costs_the_others_nothing(grammar: Compiled) -> None:
    def chunk(number: int, matcher: Any) -> Chunk:
        constraint = grammar(matcher).start() if matcher else None
        return Chunk(Sequence(number, [1], SamplingParams(), 4, constraint=constraint), 1)

    failing, obeying, free = chunk(0, FakeMatcher(0)), chunk(1, FakeMatcher(0b10)), chunk(2, None)
    asked = ask([failing, obeying, free])

    assert asked.chunks == [obeying, free]
    assert asked.failed == [failing.seq]
    assert {number: mask.tolist() for number, mask in asked.masks.items()} == {1: [0b10]}
