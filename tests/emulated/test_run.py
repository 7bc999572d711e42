"""What the harness makes of outcomes; QEMU itself is asked by `make test-emulated`."""

import json
import time

import pytest

from tests.emulated.answers import golden
from tests.emulated.patience import part_of
from tests.emulated.run import CPUS, Processes, Result, judge_answers, judge_cpp, judge_model, table

NEHALEM = next(cpu for cpu in CPUS if cpu.name == "Nehalem")


@pytest.fixture
def result() -> Result:
    return Result(NEHALEM)


@pytest.mark.parametrize("parts", [1, 3, 7])
def test_the_parts_of_the_tests_are_all_of_them_once(parts: int) -> None:
    places = [place for number in range(parts) for place in part_of(20, f"{number + 1}/{parts}")]

    assert places == list(range(20))


def test_the_set_that_a_cpu_must_get_is_no_fault(result: Result) -> None:
    assert judge_cpp(result, 0, "159 passed, 0 failed (seed 7, sets sse41 reference)\n") is None
    assert result.cells["kernels"] == "sse41"


def test_another_set_is_a_fault(result: Result) -> None:
    fault = judge_cpp(result, 0, "159 passed, 0 failed (seed 7, sets reference)\n")

    assert fault == "reference was chosen and not sse41"


@pytest.mark.parametrize(
    ("status", "output"),
    [(1, "158 passed, 1 failed (seed 7, sets sse41)\n"), (-4, "uncaught target signal 4\n")],
)
def test_failures_and_instructions_that_are_not_there_are_faults(
    result: Result, status: int, output: str
) -> None:
    assert judge_cpp(result, status, output)


def test_an_answer_that_differs_is_named(result: Result) -> None:
    name = list(golden())[3]
    given = {**golden(), name: "another"}

    assert judge_answers(result, 0, "a warning\n" + json.dumps(golden())) is None
    assert judge_answers(result, 0, json.dumps(given)) == f"others are: ['{name}']"


def test_the_models_tests_are_told_as_pytest_counts_them(result: Result) -> None:
    assert judge_model(result, 0, "....\n687 passed, 2 skipped in 12.00s\n") is None
    assert result.cells["model"] == "687 passed, 2 skipped"
    assert judge_model(result, 1, "1 failed, 686 passed in 12.00s\n")


def test_the_table_ends_with_what_was_wrong(result: Result) -> None:
    result.faults.append("cpp: 1 failed")

    assert list(table([result]))[-1] == "Nehalem: cpp: 1 failed"


def test_a_program_past_its_bound_is_ended_with_its_children() -> None:
    began = time.monotonic()
    status, _ = Processes(0.2).run(NEHALEM, ["sh", "-c", "sleep 60 & echo started; wait"], {})

    assert status == -9
    assert time.monotonic() - began < 30


def test_nothing_is_begun_after_the_end() -> None:
    processes = Processes(60)
    processes.close()

    assert processes.run(NEHALEM, ["echo", "begun"], {}) == (-15, "")
