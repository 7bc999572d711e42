"""A completion whose grammar needs a new matcher waits for it, and nobody else does."""

import ctypes
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import wait
from typing import Any

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
    """What copies of a matcher share, and what is large of them."""


class AllowsAll(FakeMatcher):
    """Whatever the tokens; each copy begins anew."""

    def __init__(self, capacity: int, lexer: Lexer | None = None) -> None:
        super().__init__(0, capacity)
        self.lexer = lexer or Lexer()

    @override
    def deep_copy(self) -> FakeMatcher:
        return AllowsAll(self.capacity, self.lexer)

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
    asked = [sequence(number, grammar) for number in range(3)]
    core.add(asked)
    while len(core._held) < 3:
        core.step()

    core.end(asked[1], FinishReason.ABORT)
    compiler.may_end.set()
    while core.has_work:
        core.step()

    assert compiler.num_compiled == 2


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


def test_there_are_no_more_lexers_than_slots_and_a_few(
    grammar: Grammar, compiler: Compiler
) -> None:
    core = EngineCore(ToyRunner(64, 16), EngineConfig(block_size=16, max_sequences=2))
    alive = weakref.WeakSet[Lexer]()

    def compile_again() -> Any:
        matcher = compiler()
        if compiler.num_compiled <= 12:  # all need another
            matcher.capacity = 5
        alive.add(matcher.lexer)
        return matcher

    grammar._compile_again = compile_again
    core.add([sequence(number, grammar) for number in range(12)])
    while len(core._held) < 12:
        core.step()

    compiler.may_end.set()
    most, outputs = 0, list[TokenOutput]()
    while core.has_work:
        outputs += core.step()
        core.check_invariants()
        wait([renewal for _, renewal in core._held._renewals.values()], 30)
        most = max(most, len(alive))
    assert most <= 2 + 4 + 1  # the grammar has the newest
    assert compiler.num_compiled == 24
    assert len(tokens_of(outputs, 11)) == NUM_TOKENS - 3
