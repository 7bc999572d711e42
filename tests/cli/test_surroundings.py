"""What is around the process fails: its log, its limits, its environment, the disk of its files."""

import contextlib
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tercet_engine import EMBEDDED_MODEL
from tests.cli.conftest import CLEAN_ENVIRONMENT, Outcome, run_process, running_server
from tests.cli.test_failures import assert_is_one_sentence

pytestmark = pytest.mark.slow

Tercet = Callable[..., Outcome]


def is_served(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/ready", trust_env=False).status_code == 200
    return False


def answer(url: str, **fields: Any) -> httpx.Response:
    body = {"input": "hi", "max_output_tokens": 3, **fields}
    return httpx.post(f"{url}/v1/responses", json=body, timeout=30, trust_env=False)


def close_stderr() -> None:
    os.close(2)


@pytest.mark.parametrize("log", ["full", "left", "closed"])
def test_a_log_that_cannot_be_written_keeps_nobody_from_an_answer(log: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reading, writing = os.pipe()
    with Path("/dev/full").open("w") as full:
        process = subprocess.Popen(
            [sys.executable, "-m", "tercet_server", "serve", "--port", str(port)],
            stderr={"full": full, "left": writing, "closed": None}[log],
            preexec_fn=close_stderr if log == "closed" else None,  # noqa: PLW1509 -- no threads
            env=CLEAN_ENVIRONMENT,
        )
    os.close(writing)
    os.close(reading)  # whoever read the log has left
    try:
        url = f"http://127.0.0.1:{port}"
        while not is_served(url):
            assert process.poll() is None
            time.sleep(0.1)
        answers = [answer(url).status_code for _ in range(3)]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert answers == [200, 200, 200]


def test_output_whose_reader_leaves_ends_without_a_word() -> None:
    command = f"{sys.executable} -m tercet_server models --json | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, env=CLEAN_ENVIRONMENT, check=True
    )
    assert done.stderr == ""
    assert done.stdout in {"0\n", "1\n"}  # 1 where click notices first


def test_a_full_disk_under_the_output_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tercet_server", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=CLEAN_ENVIRONMENT,
            check=False,
        )
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("tercet: the disk is full")


def limited(limit: int, number: int, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tercet_server", *command],
        preexec_fn=lambda: resource.setrlimit(limit, (number, number)),
        capture_output=True,
        text=True,
        timeout=60,
        env=CLEAN_ENVIRONMENT,
        check=False,
    )


def test_too_few_files_are_told_with_the_number_needed() -> None:
    done = limited(resource.RLIMIT_NOFILE, 32, "serve", "--port", "0")
    assert done.returncode == 1
    assert done.stderr == (
        "tercet: this process may open 32 files; a server needs at least 64; raise the limit of "
        "open files (ulimit -n)\n"
    )


def test_a_limit_of_file_sizes_ends_a_conversion_with_its_name(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = limited(resource.RLIMIT_FSIZE, 1 << 20, "convert", "tercet-tiny", str(out))
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last == f"tercet: {out} cannot be written or read: File too large"
    assert list(tmp_path.iterdir()) == []


def test_no_more_threads_are_told_in_words(tercet: Tercet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr("tercet_server.cli.bench.load_subject", refuse)
    outcome = tercet("bench", "--json")
    assert outcome.exit_code == 1
    assert_is_one_sentence(outcome, "no more threads", "ulimit -u")


def test_threads_that_cpp_does_not_get_are_told_in_words(tmp_path: Path) -> None:
    script = (
        "import resource\n"
        "from tercet_engine import model_loader\n"
        "build = model_loader._build\n"
        "def limited(*arguments, **named):\n"
        "    used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "    resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20), resource.RLIM_INFINITY))\n"
        "    return build(*arguments, **named)\n"
        "model_loader._build = limited\n"
        "from tercet_server.cli import main\n"
        "main(['bench', 'tercet-tiny', '--threads', '1000', '--json'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=CLEAN_ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "tercet: the system refused memory or threads while the model was built"
    )


def test_a_server_needs_no_home_no_zone_no_temporary_files_and_no_locale() -> None:
    bare = {
        **dict.fromkeys(("HOME", "TMPDIR"), "/no/such/folder"),
        "TZ": "No/Where",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    with running_server("--threads", "1", **bare) as running:
        assert answer(running.url, input="Grüße, 世界 🌍").status_code == 200


def test_a_home_that_is_not_there_is_told_of_a_model_of_the_hub() -> None:
    outcome = run_process("serve", "~/model", "--port", "0", HOME="/no/such/folder")
    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, "neither a folder nor a name")


def test_a_file_that_is_cut_short_while_it_is_mapped_ends_the_server_with_a_sentence(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(EMBEDDED_MODEL, folder)
    script = (
        "import tercet_engine.mapped_file as mapped\n"
        "mapped.MAX_COPIED_BYTES = 0\n"
        "from tercet_server.cli import main\n"
        f"main(['serve', {str(folder)!r}, '--port', '0', '--log-level', 'error'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True, env=CLEAN_ENVIRONMENT
    )
    assert process.stderr is not None
    try:
        url = next(line.split()[-1] for line in process.stderr if " serves " in line)
        os.truncate(folder / "model.safetensors", 4096)
        with pytest.raises(httpx.TransportError):
            answer(url.removesuffix("/v1"))
        said = process.stderr.read()
        assert process.wait(30) == -7  # SIGBUS: a supervisor starts it again
    finally:
        process.kill()
        process.communicate()
    assert said.splitlines()[-1].startswith("tercet: a file of the model was cut short")
    assert "renaming" in said


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_loses_no_answer_and_no_response_that_was_kept(small_disk: Path) -> None:
    store = small_disk / "responses.db"
    with running_server("--store-path", str(store), "--threads", "1") as running:
        kept = answer(running.url).json()
        fill = small_disk / "fill"
        with contextlib.suppress(OSError), fill.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        large = "word " * 1000
        answers = [answer(running.url, input=large).json() for _ in range(8)]
        lost = httpx.get(f"{running.url}/v1/responses/{answers[-1]['id']}", trust_env=False)
        found = httpx.get(f"{running.url}/v1/responses/{kept['id']}", trust_env=False)
        fill.unlink()
        later = answer(running.url, previous_response_id=kept["id"])
    database = sqlite3.connect(store)
    (soundness,) = database.execute("PRAGMA integrity_check").fetchone()
    database.close()

    assert {one["status"] for one in answers} <= {"completed", "incomplete"}
    assert lost.status_code == 404
    assert found.json() == kept
    assert later.status_code == 200
    assert soundness == "ok"


def test_a_store_that_another_holds_or_that_is_damaged_is_told_with_the_way_out(
    tercet: Tercet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked, damaged = tmp_path / "locked.db", tmp_path / "damaged.db"
    holder = sqlite3.connect(locked)
    holder.execute("CREATE TABLE held (x)")
    holder.execute("BEGIN EXCLUSIVE")
    damaged.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    for store in (locked, damaged, tmp_path):
        outcome = tercet("serve", "--store-path", str(store), "--port", "0", "--log-level", "error")
        assert outcome.exit_code == 2
        assert_is_one_sentence(
            outcome, "--store-path", str(store), "cannot hold responses", "another"
        )
    holder.close()
