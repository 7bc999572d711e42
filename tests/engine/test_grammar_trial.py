"""A grammar that would end its compiler, or keep it for hours, ends another process instead."""

import gc
import json
import os
import resource
import signal
import threading
import time

import pytest
from typing_extensions import override

from tercet_engine import grammar_trial
from tercet_engine.errors import InvalidGrammar
from tercet_engine.grammar import GrammarKind, GrammarSpec
from tercet_engine.grammar_bounds import LIMITS
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.grammar_trial import GrammarTrial, NoTrial, TrialFailed, TrialTooLong
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
    return GrammarTrial({"<|eot_id|>": True, "<tool_call>": False}, 4096, LIMITS)


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


def test_what_takes_too_long_is_given_up() -> None:
    trial = GrammarTrial({}, 4096, LIMITS, max_cpu_seconds=0.3)
    before = time.process_time()
    with pytest.raises(TrialTooLong, match=r"longer than 0.3 s to compile; simplify it"):
        trial.run(lark(intersection(30)))
    assert time.process_time() - before < 0.3  # the time was another process's

    trial.run(lark(GOOD))


def test_what_is_wrong_is_said(trial: GrammarTrial) -> None:
    with pytest.raises(TrialFailed, match="missing"):
        trial.run(lark("start: missing"))


@pytest.mark.parametrize("text", ["start: /a+/ <|eot_id|>", "start: <[4095]>"])
def test_tokens_that_the_model_has_may_be_named(trial: GrammarTrial, text: str) -> None:
    trial.run(lark(text))


def test_added_tokens_that_are_not_special_may_be_named_as_the_model_has_them() -> None:
    tokenizer = byte_tokenizer(["<tool_call>"])
    compiler = GrammarCompiler(tokenizer, VOCAB_SIZE + 1, {EOS})
    assert tokenizer.added_tokens["<tool_call>"] is False
    assert tokenizer.added_tokens["<|eot_id|>"] is True
    spec = GrammarSpec(GrammarKind.LARK, "start: <tool_call> /a/")
    compiler.compile_here(spec)


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

    assert process._popen.poll() is not None
    with pytest.raises(TrialFailed, match="closed"):
        trial.run(lark(GOOD))


def test_a_trial_that_is_forgotten_ends_its_process() -> None:
    trial = GrammarTrial({}, 4096, LIMITS)
    trial.run(lark(GOOD))
    popen = trial._begun()._popen
    del trial
    gc.collect()
    assert popen.poll() is not None


def test_a_trial_can_be_closed_while_somebody_waits_for_it() -> None:
    trial = GrammarTrial({}, 4096, LIMITS)
    trial.run(lark(GOOD))
    failed: list[BaseException] = []

    def wait() -> None:
        try:
            trial.run(lark(intersection(40)))
        except BaseException as error:  # noqa: BLE001
            failed.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    trial.close()
    thread.join(20)

    assert [type(error) for error in failed] == [NoTrial]
    assert trial._process is None


def test_a_process_that_is_killed_while_it_compiles_is_given_one_more_chance(
    trial: GrammarTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = grammar_trial._Process.ask

    def ask_and_be_killed(process: grammar_trial._Process, message: str) -> bytes | None:
        if "grammars" not in message:
            return ask(process, message)
        asked.append(process._popen.pid)
        if len(asked) < num_killed + 1:
            process.kill()
            return None
        return ask(process, message)

    monkeypatch.setattr(grammar_trial._Process, "ask", ask_and_be_killed)
    num_killed = 1
    trial.run(lark(GOOD))
    assert len(set(asked)) == 2

    asked.clear()
    num_killed = 2
    with pytest.raises(NoTrial, match="ended twice"):
        trial.run(lark(GOOD))


def test_many_open_descriptors_are_no_obstacle() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2000:
        pytest.skip("this process may not have as many")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        GrammarTrial({}, 4096, LIMITS).run(lark(GOOD))
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/nowhere/python", "no process began: No such file"),
        ("/bin/false", "before it was ready"),
    ],
)
def test_where_no_process_gets_ready_it_is_said_and_tried_again(
    trial: GrammarTrial, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    monkeypatch.setattr(grammar_trial.sys, "executable", program)
    with pytest.raises(NoTrial, match=words):
        trial.run(lark(GOOD))
    monkeypatch.undo()
    trial.run(lark(GOOD))


class Waits(float):
    """Half a second at first, and then as long as it takes."""

    num_asked = 0

    @override
    def __radd__(self, now: float) -> float:
        self.num_asked += 1
        return now + (0.5 if self.num_asked == 1 else 60)


def test_a_process_that_was_stopped_is_given_up_and_another_asked(
    trial: GrammarTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial.run(lark(GOOD))
    assert trial._process is not None
    stopped = trial._process._popen
    stopped.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(grammar_trial, "MAX_WALL_SECONDS", Waits())

    trial.run(lark(GOOD + "\n// " + "x" * (1 << 18)))  # more than a pipe holds

    assert stopped.poll() is not None
    trial.close()
