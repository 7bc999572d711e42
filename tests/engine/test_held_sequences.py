"""A completion whose grammar needs a new matcher waits for it, and nobody else does."""

import ctypes
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any, cast

import numpy as np
import pytest
from typing_extensions import override

from tercet_engine import EngineConfig, SamplingParams
from tercet_engine.completion import FinishReason
from tercet_engine.constraints import HeldSequences
from tercet_engine.core import EngineCore, TokenOutput
from tercet_engine.grammar import Grammar
from tercet_engine.grammar_renewer import Renewer
from tercet_engine.sequence import Sequence
from tests.engine.test_constraints import FakeMatcher
from tests.oracle.toy_runner import ToyRunner

NUM_TOKENS = 8
ALL = np.full(2, 0xFFFFFFFF, np.uint32)


class Compiler:
    """Compiles when it is told to; every matcher but the last is full after two tokens."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.has_begun = threading.Event()
        self.num_compiled = 0

    def __call__(self) -> Any:
        self.has_begun.set()
        assert self.may_end.wait(30)
        self.num_compiled += 1
        return AllowsAll(capacity=99)


class Lexer:
    """What copies of a matcher share, and what is large of them: it has room for so many tokens."""

    def __init__(self, capacity: int) -> None:
        self._capacity = self.room = capacity

    @property
    def is_large(self) -> bool:
        return self.room < self._capacity


class AllowsAll(FakeMatcher):
    """Whatever the tokens, as long as there is room."""

    def __init__(self, capacity: int, lexer: Lexer | None = None) -> None:
        super().__init__(0, capacity)
        self.lexer = lexer or Lexer(capacity)

    @override
    def deep_copy(self) -> FakeMatcher:
        return AllowsAll(self.capacity, self.lexer)

    @override
    def consume_token(self, token: int) -> bool:
        return self.consume_tokens([token])

    @override
    def consume_tokens(self, tokens: list[int]) -> bool:
        self.lexer.room -= len(tokens)
        return super().consume_tokens(tokens)

    @override
    def is_error(self) -> bool:
        return self.lexer.room < 0

    @override
    def unsafe_compute_mask_ptr(self, address: int, num_bytes: int) -> None:
        ctypes.memset(address, 0xFF, num_bytes)


@pytest.fixture
def compiler() -> Compiler:
    return Compiler()


@pytest.fixture
def grammar(compiler: Compiler) -> Iterator[Grammar]:
    renewer = Renewer()
    yield Grammar(AllowsAll(capacity=2), ALL, compiler, renewer)
    compiler.may_end.set()
    renewer.close()


@pytest.fixture
def core() -> EngineCore:
    return EngineCore(ToyRunner(64, 16), EngineConfig(block_size=16))


def sequence(number: int, grammar: Grammar | None = None) -> Sequence:
    params = SamplingParams(temperature=1, seed=number, max_tokens=NUM_TOKENS)
    constraint = grammar.start() if grammar else None
    tokens = [number + 1] * 20
    return Sequence(number, tokens, params, NUM_TOKENS, constraint=constraint)


def step_until_held(core: EngineCore, compiler: Compiler) -> list[TokenOutput]:
    outputs: list[TokenOutput] = []
    while not compiler.has_begun.is_set():
        outputs += core.step()
    return outputs


def tokens_of(outputs: list[TokenOutput], number: int) -> list[int | None]:
    return [output.token for output in outputs if output.sequence_id == number]


def alone(matcher: Any) -> list[int | None]:
    """What sequence 0 is answered where its grammar needs no other matcher."""
    core = EngineCore(ToyRunner(64, 16), EngineConfig(block_size=16))
    core.add([sequence(0, Grammar(matcher, ALL, pytest.fail, Renewer()))])
    outputs: list[TokenOutput] = []
    while core.has_work:
        outputs += core.step()
    return tokens_of(outputs, 0)


def test_others_go_on_and_it_ends_as_it_would_have(
    core: EngineCore, grammar: Grammar, compiler: Compiler
) -> None:
    core.add([sequence(0, grammar)])
    outputs = step_until_held(core, compiler)
    assert len(tokens_of(outputs, 0)) == 3

    core.add([sequence(1)])
    while len(tokens_of(outputs, 1)) < NUM_TOKENS:
        outputs += core.step()
        core.check_invariants()
    assert len(tokens_of(outputs, 0)) == 3
    assert core.has_work
    stats = core.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 1)
    assert stats.num_computed_tokens == 20 + 2 + 20 + 7
    assert stats.num_free_blocks == stats.num_blocks

    compiler.may_end.set()
    while core.has_work:
        outputs += core.step()
        core.check_invariants()
    assert tokens_of(outputs, 0) == alone(AllowsAll(capacity=99))
    assert compiler.num_compiled == 1


def test_the_wait_for_it_ends_with_the_client(
    core: EngineCore, grammar: Grammar, compiler: Compiler
) -> None:
    asked = sequence(0, grammar)
    core.add([asked])
    step_until_held(core, compiler)

    core.end(asked, FinishReason.ABORT)

    assert not core.has_work
    assert core.stats().num_aborted == 1
    core.check_invariants()


def test_where_nobody_else_is_there_the_engine_does_not_spin(
    core: EngineCore, grammar: Grammar, compiler: Compiler
) -> None:
    core.add([sequence(0, grammar)])
    step_until_held(core, compiler)
    threading.Timer(0.2, compiler.may_end.set).start()

    num_empty = 0
    while compiler.num_compiled == 0:
        num_empty += not core.step()
    assert num_empty < 100


def test_no_matcher_is_made_for_who_has_left(
    core: EngineCore, grammar: Grammar, compiler: Compiler
) -> None:
    asked = [sequence(number, grammar) for number in range(7)]
    core.add(asked)
    while len(core._held) < 7:
        core.step()

    for seq in asked[1::4]:  # the first of them is in its turn, the other not yet
        core.end(seq, FinishReason.ABORT)
    compiler.may_end.set()
    while core.has_work:
        core.step()

    assert compiler.num_compiled == 5
    assert core.stats().num_aborted == 2


def test_who_needs_many_matchers_waits_for_those_who_need_few() -> None:
    made, renewer = list[str](), Renewer()

    def grammar_of(name: str) -> Grammar:
        def compile_again() -> Any:
            made.append(name)
            return AllowsAll(capacity=99)

        return Grammar(AllowsAll(capacity=0), ALL, compile_again, renewer)

    held, one, other = HeldSequences(), grammar_of("one"), grammar_of("other")
    for number, grammar in enumerate((one, one, one, other, other)):
        held.add(sequence(number, grammar))
    held.begin(2)
    held.begin(2)
    assert len(held.take_ready(30)) + len(held.take_ready(30)) == 2
    assert made == ["one", "other"]

    held.begin(5)
    while len(held):
        held.take_ready(30)
    assert made == ["one", "other", "one", "other", "one"]
    renewer.close()


def test_there_are_no_more_large_lexers_than_slots_and_a_few() -> None:
    core = EngineCore(ToyRunner(64, 16), EngineConfig(block_size=16, max_sequences=2))
    lexers, renewer, may_begin = weakref.WeakSet[Lexer](), Renewer(), threading.Event()

    def full_after(num_tokens: int) -> AllowsAll:
        matcher = AllowsAll(num_tokens)
        lexers.add(matcher.lexer)
        return matcher

    def grammar() -> Grammar:
        new = iter((5, 5, *[99] * 99))

        def compile_again() -> Any:
            assert may_begin.wait(30)
            return full_after(next(new))

        return Grammar(cast("Any", full_after(2)), ALL, compile_again, renewer)

    for number in range(0, 24, 2):
        shared = grammar()
        core.add([sequence(number, shared), sequence(number + 1, shared)])
    del shared
    most, outputs = 0, list[TokenOutput]()
    while core.has_work:
        outputs += core.step()
        core.check_invariants()
        if len(core._held) == 24:
            may_begin.set()
        if may_begin.is_set():
            wait([renewal for _, renewal in core._held._renewals.values()], 30)
        most = max(most, sum(lexer.is_large for lexer in lexers))
    assert most <= 2 + 4
    assert all(len(tokens_of(outputs, number)) == NUM_TOKENS for number in range(24))
    renewer.close()


def test_who_is_urgent_and_held_does_not_wait_for_who_is_not() -> None:
    core = EngineCore(ToyRunner(64, 16), EngineConfig(block_size=16, max_sequences=1))
    renewer = Renewer()
    grammar = Grammar(AllowsAll(2), ALL, lambda: AllowsAll(99), renewer)
    held = [sequence(number, grammar) for number in range(6)]
    for seq in held[:5]:
        seq.priority = 1
        core.add([seq])
        while seq.num_generated_tokens < 3:
            core.step()
    core.add(held[5:])
    outputs = list[TokenOutput]()
    for number in range(6, 60):  # there is always somebody more urgent than the first five
        core.add([sequence(number)])
        outputs += core.step()
        wait([renewal for _, renewal in core._held._renewals.values()], 30)
    assert len(tokens_of(outputs, 5)) == NUM_TOKENS
    renewer.close()
