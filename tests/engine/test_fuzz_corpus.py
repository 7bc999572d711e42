"""Everything that fuzzing once found, and a short run through every door."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.__main__ import Campaign
from tests.fuzz.board import Board
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.judge import Judge
from tests.fuzz.target import CORPUS, Finding, Target
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import blind_input

EXECUTIONS = {"gguf_models": 60, "requests": 300, "grammars": 150}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_short_run_finds_nothing(name: str, tmp_path: Path) -> None:
    count = len(TARGETS[name].inputs()) + EXECUTIONS.get(name, 1000)
    options = ["--blind", "--executions", str(count), "--findings", str(tmp_path)]
    command = [sys.executable, "-m", "tests.fuzz", name, *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    told = [path.read_text() for path in tmp_path.glob("*.txt")]
    assert run.returncode == 0, (run.stdout[-2000:], run.stderr[-2000:], told)


def test_every_folder_of_the_corpus_is_a_targets() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_an_input_is_made_from_its_number_alone(name: str) -> None:
    target = TARGETS[name]
    inputs = target.inputs()
    number = len(inputs) + 3

    assert blind_input(target, inputs, 1, number) == blind_input(target, inputs, 1, number)
    others = {blind_input(target, inputs, 1, number + step) for step in range(8)}
    assert len(others) > 1


def test_trees_are_changed_and_most_still_parse() -> None:
    mutate = json_mutator(("a", "b"))
    made = {mutate(b'{"a": [1, {"b": "x"}], "c": null}', random.Random(n)) for n in range(200)}

    assert len(made) > 100
    assert sum(data[:1] in b"{[" for data in made) > 100


@pytest.mark.parametrize(
    "error", [ValueError("no"), MemoryError(), BaseException("a panic"), Finding("wrong")]
)
def test_another_error_is_a_finding(tmp_path: Path, error: BaseException) -> None:
    def run(data: bytes) -> str:
        raise error

    judge = judge_of(run, tmp_path)
    judge.run(b"input")

    assert judge.outcomes["findings"] == 1
    (path,) = (tmp_path / "findings").glob("*.txt")
    assert "--replay" in path.read_text()
    assert path.with_suffix("").read_bytes() == b"input"


def test_an_input_that_takes_long_is_a_finding(tmp_path: Path) -> None:
    def run(data: bytes) -> str:
        return str(sum(range(3_000_000)))

    judge = judge_of(run, tmp_path, max_seconds=0.001)
    judge.run(b"slow")

    assert judge.outcomes["findings"] == 1


def judge_of(run, tmp_path: Path, **limits: float) -> Judge:
    target = Target("judged", lambda: run, lambda data, rng: data, **limits)
    return Judge(target, run, tmp_path / "findings", Board(tmp_path / "board"))


def test_a_child_that_dies_is_a_finding_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.fuzz import __main__ as parent

    script = tmp_path / "child.py"
    script.write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from tests.fuzz.board import Board\n"
        "Board(Path(sys.argv[-3]) / 'board').begin(3, b'deadly')\n"
        "os.kill(os.getpid(), 11)\n"
    )

    class Popen(subprocess.Popen):
        def __init__(self, command, **options) -> None:
            super().__init__([command[0], str(script), *command[3:]], **options)

    monkeypatch.setattr(parent.subprocess, "Popen", Popen)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    campaign = parent.Campaign(TARGETS["config"], 1, "blind", tmp_path / "findings")

    assert campaign.run(6, 3) == 2
    (path,) = (tmp_path / "findings").glob("died--11*.txt")
    assert path.with_suffix("").read_bytes() == b"deadly"


def test_what_led_somewhere_new_is_kept_for_the_next_campaign(tmp_path: Path) -> None:
    pytest.importorskip("atheris")
    corpus = tmp_path / "corpus"
    for seed in (1, 2):
        campaign = Campaign(TARGETS["config"], seed, "guided", tmp_path / "findings", corpus)
        assert campaign.run(300, 200) == 0
        assert campaign.num_run == 300

    kept = [path for path in corpus.iterdir() if not path.name.startswith("seed-")]
    assert kept
