"""The whole harness on a real server, for as long as a test may take."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.common.host import ROOT

pytestmark = pytest.mark.slow


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.soak", "--folder", str(folder)]
    command += ["--results", str(folder), "--clients", "16", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )


def samples(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


@pytest.mark.timeout(400)
def test_half_a_minute_of_everything_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    with start(tmp_path, "--minutes", "0.5", "--restart-every", "2") as soak:
        told, _ = soak.communicate(timeout=380)

    assert soak.returncode == 0, told
    assert told.splitlines()[-1] == "passed"
    assert "× SIGTERM" in told
    assert len(samples(tmp_path)) > 5
    (picture,) = tmp_path.glob("*-soak.svg")
    assert picture.stat().st_size < 1_000_000


@pytest.mark.timeout(400)
def test_an_interrupted_one_tells_what_it_has_seen_and_leaves_no_process(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    with start(tmp_path, "--minutes", "30", "--restart-every", "0") as soak:
        deadline = time.monotonic() + 120
        log = tmp_path / "samples.jsonl"
        while not (log.exists() and len(samples(tmp_path)) > 5) and time.monotonic() < deadline:
            time.sleep(0.2)
        soak.send_signal(signal.SIGINT)
        told, _ = soak.communicate(timeout=200)

    assert told.splitlines()[-1] == "passed", told
    assert "it ended with status 0" in told
    assert "no second server was restarted" in told
