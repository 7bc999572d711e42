"""A grammar that would end its compiler, or keep it for hours, ends another process instead."""

import gc
import json
import os
import signal
import time

import pytest

from tercet_engine import grammar_trial
from tercet_engine.errors import InvalidGrammar
from tercet_engine.grammar import GrammarKind, GrammarSpec
from tercet_engine.grammar_bounds import LIMITS
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.grammar_trial import GrammarTrial, TrialFailed
from tests.oracle.toy_engine import EOS, VOCAB_SIZE, byte_tokenizer

GOOD = 'start: "a" b\nb: /[0-9]+/'


def lark(text: str) -> str:
    return json.dumps({"grammars": [{"lark_grammar": text}]})


def intersection(num_patterns: int) -> str:
    """Its compiler tries all subsets: 24 take 40 s."""
    return "start: A\nA: " + " & ".join(f"/.*a.{{{i}}}/" for i in range(num_patterns))


def references(count: int) -> str:
    chain = {str(i): {"properties": {"a": {"$ref": f"#/$defs/{i + 1}"}}} for i in range(count)}
    return json.dumps({"$ref": "#/$defs/0", "$defs": {**chain, str(count): {}}})


@pytest.fixture
def compiler() -> GrammarCompiler:
    return GrammarCompiler(byte_tokenizer(), VOCAB_SIZE, {EOS})


@pytest.fixture
def trial() -> GrammarTrial:
    return GrammarTrial(["<|eot_id|>"], 4096, LIMITS)


@pytest.mark.parametrize(
    "text",
    [
        '{"const": -9223372036854775808}',
        '{"type": "integer", "minimum": -1e30, "exclusiveMaximum": -1e20}',
        references(2000),
    ],
)
async def test_what_the_compiler_crashes_on_is_refused_and_the_next_is_taken(
    compiler: GrammarCompiler, text: str
) -> None:
    with pytest.raises(InvalidGrammar, match="its compiler fails on it"):
        await compiler.compile(GrammarSpec(GrammarKind.JSON_SCHEMA, text))

    await compiler.compile(GrammarSpec(GrammarKind.LARK, GOOD))


async def test_references_as_deep_as_people_write_them_are_followed(
    compiler: GrammarCompiler,
) -> None:
    await compiler.compile(GrammarSpec(GrammarKind.JSON_SCHEMA, references(200)))


def test_what_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_trial, "MAX_CPU_SECONDS", 0.3)
    trial = GrammarTrial([], 4096, LIMITS)
    before = time.process_time()
    with pytest.raises(TrialFailed, match=r"longer than .* to compile; simplify it"):
        trial.run(lark(intersection(30)))
    assert time.process_time() - before < 0.3  # the time was another process's

    trial.run(lark(GOOD))


def test_what_is_wrong_is_said(trial: GrammarTrial) -> None:
    with pytest.raises(TrialFailed, match="missing"):
        trial.run(lark("start: missing"))


@pytest.mark.parametrize("text", ["start: /a+/ <|eot_id|>", "start: <[4095]>"])
def test_tokens_that_the_model_has_may_be_named(trial: GrammarTrial, text: str) -> None:
    trial.run(lark(text))


@pytest.mark.parametrize("text", ["start: <|other|>", "start: <[4096]>"])
def test_tokens_that_it_has_not_may_not(trial: GrammarTrial, text: str) -> None:
    with pytest.raises(TrialFailed):
        trial.run(lark(text))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_was_ended_by_others_is_begun_again(
    trial: GrammarTrial, number: signal.Signals
) -> None:
    trial.run(lark(GOOD))
    process = trial._begun()
    os.kill(process._popen.pid, number)
    os.waitid(os.P_PID, process._popen.pid, os.WEXITED | os.WNOWAIT)

    trial.run(lark(GOOD))

    assert trial._begun() is not process


def test_a_process_that_leaves_while_it_is_asked_is_asked_again(trial: GrammarTrial) -> None:
    trial.run(lark(GOOD))
    process = trial._begun()
    stdin = process._popen.stdin
    assert stdin is not None
    os.dup2(os.open("/dev/null", os.O_WRONLY), stdin.fileno())  # it sees an end, and leaves by it

    trial.run(lark(GOOD))

    assert trial._begun() is not process


def test_there_is_none_before_a_grammar_and_none_after_the_end(trial: GrammarTrial) -> None:
    assert trial._process is None
    trial.run(lark(GOOD))
    process = trial._begun()

    trial.close()

    assert process.has_ended
    with pytest.raises(TrialFailed, match="closed"):
        trial.run(lark(GOOD))


def test_a_trial_that_is_forgotten_ends_its_process() -> None:
    trial = GrammarTrial([], 4096, LIMITS)
    trial.run(lark(GOOD))
    popen = trial._begun()._popen
    del trial
    gc.collect()
    assert popen.poll() is not None


def test_where_no_process_can_begin_grammars_are_refused_in_words(
    trial: GrammarTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grammar_trial.sys, "executable", "/nowhere/python")
    with pytest.raises(TrialFailed, match="no process began: No such file"):
        trial.run(lark(GOOD))
