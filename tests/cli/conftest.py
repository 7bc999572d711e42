"""Running the command, in this process or as one of its own."""

import contextlib
import io
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tercet_server.cli import main

CLEAN_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith("TERCET_")
} | {"COLUMNS": "100", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    out: str
    err: str


@dataclass(frozen=True)
class RunningServer:
    url: str
    process: subprocess.Popen[str]
    banner: str


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TERCET_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def logging_restored() -> Iterator[None]:
    """`tercet serve` takes over the process's logging."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def tercet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, logging_restored: None
) -> Callable[..., Outcome]:
    """Runs the command in this process, with `stdin` as its input."""

    def run(*arguments: str, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    return run


def run_process(*arguments: str, stdin: str = "", **environment: str) -> Outcome:
    """Runs the command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tercet_server", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=CLEAN_ENVIRONMENT | environment,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@contextlib.contextmanager
def running_server(*arguments: str, **environment: str) -> Iterator[RunningServer]:
    """`tercet serve` on a free port; entered once it serves, ended by SIGTERM."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tercet_server", "serve", "--port", "0", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=CLEAN_ENVIRONMENT | environment,
    )
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.strip().startswith("curl "):
                break
        banner = "".join(lines)
        found = re.search(r"serves .+ at (http://\S+)/v1", banner)
        assert found, banner
        yield RunningServer(found[1], process, banner)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=30)
        finally:
            process.kill()


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """A server of the embedded model."""
    with running_server("--drain-seconds", "1") as running:
        yield running
