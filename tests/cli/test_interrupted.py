"""Real signals to real processes: each ends at once, without a traceback, and leaves nothing half.

A server that loads is told to stop like one that serves, so its status is 0; a command that works
ends with 130, or by SIGTERM where there is nothing to tidy up.
"""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tercet_engine.packed.convert import new_folder, remove_leftovers
from tests.cli.conftest import CLEAN_ENVIRONMENT, running_server
from tests.oracle.fake_hub import FakeHub, serving

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program of Python; none outlives the test."""
    processes: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=CLEAN_ENVIRONMENT | environment,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("where", ["typer", "tercet_engine", "tercet_server.runner"])
def test_ctrl_c_while_modules_are_imported_ends_it_without_a_traceback(
    start: Start, where: str
) -> None:
    script = f"""
import importlib.abc, sys, time

class Slow(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {where!r}:
            print("waits", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
from tercet_server.cli import main
main(["serve", "--port", "0"])
"""
    process = start("-c", script)
    assert first_line(process) == "waits"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)

    assert process.wait(30) in {-signal.SIGINT, 130}
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "phase",
    [
        "tercet_server.runner.find_model",
        "tercet_engine.model_loader.find_grid",
        "tercet_engine.model_loader._build",
    ],
)
def test_a_server_that_loads_is_ended_by_a_signal(
    start: Start, phase: str, number: signal.Signals
) -> None:
    module, _, name = phase.rpartition(".")
    script = f"""
import importlib, time
module = importlib.import_module({module!r})

def wait(*_, **__):
    print("waits", flush=True)
    time.sleep(60)

setattr(module, {name!r}, wait)
if {name!r} == "find_grid":
    import tercet_engine.checkpoint
    tercet_engine.checkpoint.Checkpoint.needs_grid = True
from tercet_server.cli import main
main(["serve", "--port", "0", "--log-level", "error"])
"""
    process = start("-c", script)
    assert first_line(process) == "waits"
    time.sleep(0.1)
    process.send_signal(number)

    assert process.wait(15) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""


@pytest.mark.parametrize("command", ["serve", "pull"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_fetching_is_ended_by_a_signal_and_goes_on_from_there(
    start: Start, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    weights = os.urandom(4 << 20)
    files = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": weights}
    with serving(FakeHub(files, seconds_per_chunk=0.05)) as hub:
        home = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
        rest = ["--port", "0"] if command == "serve" else []
        process = start("-m", "tercet_server", command, "org/name", *rest, **home)
        deadline = time.monotonic() + 40
        while not any(p.stat().st_size > 1 << 18 for p in tmp_path.rglob("*.incomplete")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        status = process.wait(15)
        assert process.stderr is not None
        said = process.stderr.read()

    by_signal = 130 if number == signal.SIGINT else -signal.SIGTERM
    assert status == (0 if command == "serve" else by_signal)
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("model.safetensors"))
    assert list(tmp_path.rglob("*.incomplete"))


def test_a_second_ctrl_c_while_a_conversion_tidies_up_shows_no_traceback(
    start: Start, tmp_path: Path
) -> None:
    script = f"""
import shutil, time
from tercet_engine.packed.writer import SafetensorsWriter
from tercet_server.cli import main
remove = shutil.rmtree

def slowly(*arguments, **named):
    print("tidies", flush=True)
    time.sleep(0.5)
    remove(*arguments, **named)

shutil.rmtree = slowly
SafetensorsWriter.close = lambda self: (print("waits", flush=True), time.sleep(60))
main(["convert", "tercet-tiny", {str(tmp_path / "out")!r}])
"""
    process = start("-c", script)
    assert first_line(process) == "waits"
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert first_line(process) == "tidies"
    process.send_signal(signal.SIGINT)

    assert process.wait(15) == 130
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert not (tmp_path / "out").exists()


def test_what_a_killed_conversion_left_is_removed_by_the_next(tmp_path: Path) -> None:
    left, young = tmp_path / ".out.1.new", tmp_path / ".out.2.new"
    other = tmp_path / ".outer.1.new"
    for folder in (left, young, other):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
    for folder in (left, other):
        os.utime(folder, (1, 1))
    with new_folder(tmp_path / "out", 1000) as held:
        os.utime(held, (1, 1))
        remove_leftovers(tmp_path / "out")
        assert held.exists()

    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".out.2.new", ".outer.1.new", "out"]


def test_a_killed_server_is_started_again_on_the_same_port_and_store(tmp_path: Path) -> None:
    store = tmp_path / "responses.db"
    flags = ["--store-path", str(store), "--threads", "1"]
    with running_server(*flags) as running, httpx.Client(trust_env=False, timeout=30) as client:
        url, port = running.url, running.url.rpartition(":")[2]
        kept = client.post(f"{url}/v1/responses", json={"input": "hi", "max_output_tokens": 4})
        body = {"prompt": "a", "stream": True, "max_tokens": 1900, "ignore_eos": True}
        with client.stream("POST", f"{url}/v1/completions", json=body) as response:
            pieces = response.iter_raw()
            next(pieces)
            asked = {"input": "hi", "background": True, "max_output_tokens": 1900}
            begun = client.post(f"{url}/v1/responses", json={**asked, "ignore_eos": True}).json()
            running.process.send_signal(signal.SIGKILL)
            with pytest.raises(httpx.TransportError):
                list(pieces)
        running.process.wait(15)
        with running_server(*flags, "--port", port) as again:
            assert again.url == url
            found = client.get(f"{url}/v1/responses/{kept.json()['id']}").json()
            given_up = client.get(f"{url}/v1/responses/{begun['id']}").json()
    database = sqlite3.connect(store)
    (soundness,) = database.execute("PRAGMA integrity_check").fetchone()
    database.close()

    assert found == kept.json()
    assert begun["status"] in {"queued", "in_progress"}
    assert given_up["status"] == "failed"
    assert "stopped" in given_up["error"]["message"]
    assert soundness == "ok"
