"""`tercet convert`: what it makes, what it refuses, and that nothing half-written is left."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tercet_engine import EMBEDDED_MODEL
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.writer import SafetensorsWriter
from tests.cli.conftest import CLEAN_ENVIRONMENT, Outcome, running_server
from tests.cli.test_failures import assert_is_one_sentence
from tests.oracle.embedded_gguf import write_embedded

Tercet = Callable[..., Outcome]


def test_a_model_is_converted_and_served(tercet: Tercet, tmp_path: Path) -> None:
    out = tmp_path / "new" / "packed"
    outcome = tercet("convert", "tercet-tiny", str(out), "--threads", "1")

    assert outcome.exit_code == 0
    assert f"{out}: 6." in outcome.out
    assert f"Serve it: tercet serve {out}" in outcome.out
    assert "converting 5 MB" in outcome.err
    assert "converted in" in outcome.err
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [path.name for path in out.parent.iterdir()] == ["packed"]
    with running_server(str(out), "--threads", "1", "--drain-seconds", "1") as server:
        assert "serves packed at" in server.banner


def test_a_gguf_file_is_converted(tercet: Tercet, tmp_path: Path) -> None:
    gguf = write_embedded(tmp_path / "tiny.gguf")
    outcome = tercet("convert", str(gguf), str(tmp_path / "out"))

    assert outcome.exit_code == 0
    assert PackedCheckpoint(tmp_path / "out").made_from == "tiny"


def test_a_converted_model_is_inspected_and_verified(tercet: Tercet, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    assert tercet("convert", "tercet-tiny", str(out)).exit_code == 0
    found = json.loads(tercet("inspect", "--json", str(out)).out)

    assert found["servable"]
    assert found["weights"] == "packed as they are computed with; converted from tercet-tiny"
    verified = json.loads(tercet("verify", "--json", str(out), "--threads", "1").out)
    assert verified["passed"]
    assert verified["reference"] == "tercet-tiny"
    names = [check["name"] for check in verified["checks"]]
    assert "every tensor has the checksum it was written with" in names

    content = bytearray((out / "model.safetensors").read_bytes())
    content[1 << 20] ^= 1
    (out / "model.safetensors").write_bytes(content)
    outcome = tercet("verify", "--json", str(out), "--threads", "1")
    assert outcome.exit_code == 1
    failed = [check for check in json.loads(outcome.out)["checks"] if check["has_passed"] is False]
    assert "1 have not, layers." in failed[0]["detail"]


def test_a_folder_that_is_there_is_not_replaced(tercet: Tercet, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    assert tercet("convert", "tercet-tiny", str(out)).exit_code == 0
    before = (out / "config.json").read_bytes()

    outcome = tercet("convert", "tercet-tiny", str(out))
    assert outcome.exit_code == 2
    assert_is_one_sentence(outcome, str(out), "there already", "--force")
    assert (out / "config.json").read_bytes() == before


def test_force_replaces_a_converted_model_and_nothing_else(tercet: Tercet, tmp_path: Path) -> None:
    out = tmp_path / "packed"
    assert tercet("convert", "tercet-tiny", str(out)).exit_code == 0
    (out / "old").touch()
    assert tercet("convert", "tercet-tiny", str(out), "--force").exit_code == 0
    assert not (out / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]

    source = Path(shutil.copytree(EMBEDDED_MODEL, tmp_path / "source"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(out)
    for name in ("source", "empty", "file", "link"):
        outcome = tercet("convert", str(source), str(tmp_path / name), "--force")
        assert outcome.exit_code == 2
        assert_is_one_sentence(outcome, str(tmp_path / name), "not replaced")
    assert (source / "config.json").is_file()
    assert PackedCheckpoint(out).damaged_tensors() == []


def test_a_converted_model_is_not_converted_again(tercet: Tercet, tmp_path: Path) -> None:
    assert tercet("convert", "tercet-tiny", str(tmp_path / "a")).exit_code == 0
    outcome = tercet("convert", str(tmp_path / "a"), str(tmp_path / "b"))

    assert outcome.exit_code == 1
    assert_is_one_sentence(outcome, "converted model already")
    assert not (tmp_path / "b").exists()


def test_a_disk_without_room_is_noticed_before(
    tercet: Tercet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        "tercet_engine.packed.convert.shutil.disk_usage", lambda _: usage._replace(free=70_000_000)
    )
    outcome = tercet("convert", "tercet-tiny", str(tmp_path / "out"))

    assert outcome.exit_code == 1
    assert_is_one_sentence(outcome, "disk is full", "70,000,000", "73,1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["add", "close"])
def test_a_disk_that_fills_up_leaves_nothing_behind(
    tercet: Tercet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    original = getattr(SafetensorsWriter, moment)
    calls = []

    def fill(self: SafetensorsWriter, *arguments: object) -> None:
        calls.append(arguments)
        if moment == "close" or len(calls) == 7:
            assert len(list(tmp_path.iterdir())) == 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, *arguments)

    monkeypatch.setattr(SafetensorsWriter, moment, fill)
    outcome = tercet("convert", "tercet-tiny", str(tmp_path / "out"))

    assert outcome.exit_code == 1
    assert "tercet: " in outcome.err
    assert "the disk is full" in outcome.err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_conversion_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = (
        "import time\n"
        "from tercet_engine.packed.writer import SafetensorsWriter\n"
        "from tercet_server.cli import main\n"
        "SafetensorsWriter.close = lambda self: (print('waits', flush=True), time.sleep(60))\n"
        f"main(['convert', 'tercet-tiny', {str(tmp_path / 'out')!r}])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=CLEAN_ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        assert len(list(tmp_path.iterdir())) == 1
        time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.communicate()
    assert list(tmp_path.iterdir()) == []
