"""Grammars that take long hold up each other, and no others; what was refused stays refused."""

import asyncio
import threading

import pytest

from tercet_engine import AsyncEngine, grammar_compiler
from tercet_engine.errors import InvalidGrammar, WaitedTooLong
from tercet_engine.grammar import Grammar, GrammarKind, GrammarSpec
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.grammar_trial import GrammarTrial
from tests.oracle.toy_engine import EOS, VOCAB_SIZE, byte_tokenizer

SLOW = GrammarSpec(GrammarKind.JSON_SCHEMA, '{"type": "integer", "multipleOf": 32749}')
"""It needs some hundredths of a second of any processor."""


@pytest.fixture
def compiler() -> GrammarCompiler:
    return GrammarCompiler(byte_tokenizer(), VOCAB_SIZE, {EOS})


def regex(text: str) -> GrammarSpec:
    return GrammarSpec(GrammarKind.REGEX, text, "regex")


class Maker:
    """Makes what the real one does, and counts; `slow` in a text takes the quick lane's time."""

    def __init__(self, compiler: GrammarCompiler) -> None:
        self.made: list[str] = []
        self.is_waiting = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._make = compiler._maker.make
        compiler._maker.make = self.make  # type: ignore[method-assign]

    def make(self, spec: GrammarSpec, trial: GrammarTrial) -> Grammar:
        self.made.append(spec.text)
        if "slow" in spec.text:
            if trial._max_cpu_seconds < 1:
                raise grammar_compiler.TrialTooLong
            asyncio.run_coroutine_threadsafe(self._wait(), self._loop).result(30)
        return self._make(spec, trial)

    async def _wait(self) -> None:
        self.is_waiting.set()
        await self.may_go_on.wait()


async def test_quick_ones_overtake_those_that_take_long(compiler: GrammarCompiler) -> None:
    maker = Maker(compiler)
    slow = [asyncio.create_task(compiler.compile(regex(f"slow{number}"))) for number in range(3)]
    await maker.is_waiting.wait()

    await compiler.compile(regex("quick"))

    assert not any(task.done() for task in slow)
    maker.may_go_on.set()
    await asyncio.gather(*slow)


async def test_who_never_came_to_be_compiled_is_told_to_come_back(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker(toy_engine._grammars)
    first = asyncio.create_task(toy_engine.compile_grammar(regex("slow0")))
    await maker.is_waiting.wait()
    monkeypatch.setattr(grammar_compiler, "MAX_COMPILE_SECONDS", 0.1)

    with pytest.raises(WaitedTooLong) as caught:
        await toy_engine.compile_grammar(regex("slow1"))

    assert caught.value.retry_after_seconds > 0
    stats = toy_engine.stats()
    assert stats.refusals["grammar_time"] == stats.num_refused == 1
    maker.may_go_on.set()
    await first


async def test_what_takes_long_by_itself_is_refused(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = Maker(compiler)
    monkeypatch.setattr(grammar_compiler, "MAX_COMPILE_SECONDS", 2.0)

    with pytest.raises(InvalidGrammar, match="took longer than"):
        await compiler.compile(regex("slow"))

    maker.may_go_on.set()
    monkeypatch.undo()
    await compiler.compile(regex("slow"))  # for it was not its own fault


async def test_the_same_grammar_asked_for_at_once_is_compiled_once(
    compiler: GrammarCompiler,
) -> None:
    maker = Maker(compiler)
    grammars = await asyncio.gather(*(compiler.compile(regex("a+")) for _ in range(8)))
    assert len(set(grammars)) <= len(maker.made) <= 2


async def test_what_was_refused_is_refused_again_without_a_trial(
    compiler: GrammarCompiler,
) -> None:
    maker = Maker(compiler)
    for param in ("regex", "guided_regex"):
        with pytest.raises(InvalidGrammar, match=f"^{param} cannot be enforced") as caught:
            await compiler.compile(GrammarSpec(GrammarKind.REGEX, "(a", param))
        assert caught.value.param == param
    assert maker.made == ["(a"]


async def test_what_may_not_take_long_is_refused_for_this_once(compiler: GrammarCompiler) -> None:
    maker = Maker(compiler)
    maker.may_go_on.set()
    with pytest.raises(InvalidGrammar):
        await compiler.compile(regex("slow"), may_take_long=False)
    await compiler.compile(regex("slow"))


async def test_what_needs_more_than_quick_is_compiled_all_the_same(
    compiler: GrammarCompiler,
) -> None:
    compiler._quick.trial = GrammarTrial({}, 4096, {}, max_cpu_seconds=0.02)
    await compiler.compile(SLOW)
    assert len(compiler._slow_keys._kept) == 1


async def test_what_could_not_be_tried_is_tried_again(
    compiler: GrammarCompiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(InvalidGrammar, match="no process began"):
        await compiler.compile(regex("a"))
    monkeypatch.undo()
    await compiler.compile(regex("a"))


async def test_what_is_known_to_take_long_is_not_tried_among_the_quick_ones(
    compiler: GrammarCompiler,
) -> None:
    maker = Maker(compiler)
    maker.may_go_on.set()
    others = threading.Event()
    compiler._quick.worker.submit(others.wait)
    asked = [asyncio.create_task(compiler.compile(regex("slow"))) for _ in range(5)]
    await asyncio.sleep(0)
    others.set()
    await asyncio.gather(*asked)
    assert maker.made == ["slow", "slow"]  # in one lane, and in the other


async def test_refusals_do_not_displace_grammars(compiler: GrammarCompiler) -> None:
    maker = Maker(compiler)
    await compiler.compile(regex("a"))
    for number in range(grammar_compiler.MAX_CACHED_GRAMMARS + 1):
        with pytest.raises(InvalidGrammar):
            await compiler.compile(regex(f"({number}"))
    await compiler.compile(regex("a"))
    assert maker.made.count("a") == 1


async def test_what_cannot_be_sent_as_text_is_not_taken_for_something_else(
    compiler: GrammarCompiler,
) -> None:
    with pytest.raises(InvalidGrammar):
        await compiler.compile(regex("a\ud800"))
    await compiler.compile(regex("a?"))


async def test_refusals_are_remembered_of_grammars_that_are_not_kept(
    compiler: GrammarCompiler,
) -> None:
    maker = Maker(compiler)
    for _ in range(2):
        with pytest.raises(InvalidGrammar):
            await compiler.compile(regex("(a"), keep=False)
    assert maker.made == ["(a"]
