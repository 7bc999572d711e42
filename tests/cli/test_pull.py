"""`tercet pull` as a process, against a Hub on this host; and what it shows meanwhile."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from tercet_engine import EMBEDDED_MODEL, PlannedFile
from tercet_server.cli.fetch_progress import FetchBars, FetchLines
from tests.cli.conftest import CLEAN_ENVIRONMENT, Outcome, run_process, running_server
from tests.conftest import FakeClock
from tests.oracle.embedded_gguf import write_embedded
from tests.oracle.fake_hub import COMMIT, FakeHub, serving

WEIGHTS = os.urandom(8 << 20)
MODEL = {"config.json": b"{}", "tokenizer.json": b"{ }", "model.safetensors": WEIGHTS}
EMBEDDED = {path.name: path.read_bytes() for path in EMBEDDED_MODEL.glob("[cgmst]*")}


def environment(hub: FakeHub, home: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_TOKEN": ""}


def pull(hub: FakeHub, home: Path, *arguments: str, **more: str) -> Outcome:
    return run_process("pull", *arguments, **(environment(hub, home) | more))


def test_a_pull_ends_by_saying_where_it_is_and_how_to_serve_it(tmp_path: Path) -> None:
    with serving(FakeHub(MODEL)) as hub:
        outcome = pull(hub, tmp_path, "org/name")

    where, how = outcome.out.splitlines()
    assert outcome.exit_code == 0
    path = Path(where.removeprefix("org/name is at "))
    assert (path / "model.safetensors").read_bytes() == WEIGHTS
    assert how == "Serve it: tercet serve org/name"
    assert "fetching org/name: 3 files, 8.39 MB" in outcome.err
    assert "fetched in" in outcome.err


def test_a_pull_that_was_killed_goes_on_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    with serving(FakeHub(MODEL, seconds_per_chunk=0.03)) as hub:
        process = subprocess.Popen(
            [sys.executable, "-m", "tercet_server", "pull", "org/name"],
            env=CLEAN_ENVIRONMENT | environment(hub, tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 30
        while not any(path.stat().st_size > 1 << 20 for path in partials(tmp_path)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        left = partials(tmp_path)[0].stat().st_size
        assert 0 < left < len(WEIGHTS)
        assert not list(tmp_path.rglob("model.safetensors"))
        assert not list(tmp_path.rglob("refs/*"))
        hub.seconds_per_chunk = 0
        hub.asked.clear()
        outcome = pull(hub, tmp_path, "org/name")

    assert outcome.exit_code == 0
    assert ("GET", "/cdn/model.safetensors", f"bytes={left}-") in hub.asked
    assert "of it here already" in outcome.err
    (found,) = tmp_path.rglob("model.safetensors")
    assert found.read_bytes() == WEIGHTS
    assert partials(tmp_path) == []


def partials(home: Path) -> list[Path]:
    return list(home.rglob("*.incomplete"))


def test_two_pulls_at_once_fetch_once(tmp_path: Path) -> None:
    with serving(FakeHub(MODEL, seconds_per_chunk=0.005)) as hub:
        command = [sys.executable, "-m", "tercet_server", "pull", "org/name"]
        both = [
            subprocess.Popen(
                command,
                env=CLEAN_ENVIRONMENT | environment(hub, tmp_path),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        assert [process.wait(timeout=60) for process in both] == [0, 0]

    assert [path for _, path, _ in hub.asked].count("/cdn/model.safetensors") == 1


def test_a_served_name_is_fetched_once_and_then_serves_without_a_network(tmp_path: Path) -> None:
    with serving(FakeHub(EMBEDDED, repo="org/tiny")) as hub:
        with running_server("org/tiny", **environment(hub, tmp_path)) as running:
            assert "looking for the model on the Hugging Face Hub" in running.banner
            assert "fetching org/tiny" in running.banner
            assert "BitNetForCausalLM" in running.banner
        where = environment(hub, tmp_path)
    with running_server("org/tiny", **(where | {"HF_HUB_OFFLINE": "1"})) as running:
        assert "org/tiny is here" in running.banner
        assert "serves org/tiny at" in running.banner
    with running_server(f"org/tiny@{COMMIT}", **where) as running:  # that Hub has gone
        assert "serves org/tiny at" in running.banner


def test_a_gguf_file_is_pulled_by_its_quantisation_and_served(tmp_path: Path) -> None:
    content = write_embedded(tmp_path / "tiny-I2_S.gguf").read_bytes()
    files = {"tiny-I2_S.gguf": content, "tiny-TQ2_0.gguf": b"other", "README.md": b"hello"}
    with serving(FakeHub(files)) as hub:
        outcome = pull(hub, tmp_path, "hf.co/org/name:i2_s")
        assert hub.fetched == ["tiny-I2_S.gguf"]
        where = environment(hub, tmp_path)
    assert outcome.out.splitlines()[1] == "Serve it: tercet serve org/name:i2_s"
    with running_server("org/name:i2_s", **(where | {"HF_HUB_OFFLINE": "1"})) as running:
        assert "serves org/name at" in running.banner
        assert "architecture  bitnet-b1.58" in running.banner


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["org/name@v9"], 2, "has no revision v9"),
        (["org/name", "--revision", "v9"], 2, "has no revision v9"),
        (["org/other"], 2, "not on the Hub"),
        (["nothing"], 2, "one is org/name"),
        (["org/name", "--format", "zip"], 2, "must be auto, safetensors or gguf"),
        (["org/name", "--file", "*.gguf"], 2, "holds no GGUF file"),
    ],
)
def test_what_cannot_be_pulled_is_one_sentence(
    tmp_path: Path, arguments: list[str], exit_code: int, words: str
) -> None:
    with serving(FakeHub(MODEL)) as hub:
        outcome = pull(hub, tmp_path, *arguments)

    assert outcome.exit_code == exit_code
    assert words in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert outcome.out == ""


def test_wrong_bytes_fail_and_the_token_is_sent_to_the_hub(tmp_path: Path) -> None:
    with serving(FakeHub(MODEL, gated=True, wrong={"model.safetensors"})) as hub:
        outcome = pull(hub, tmp_path, "org/name", HF_TOKEN="hf_right")

    assert outcome.exit_code == 1
    assert "arrived damaged and was removed" in outcome.err
    assert "hf_right" not in outcome.err


def test_bars_show_each_file_and_all() -> None:
    console = Console(width=120, force_terminal=True, record=True, file=io.StringIO())
    bars = FetchBars(console)
    bars.start("org/name", [PlannedFile("a.bin", 2000, 500), PlannedFile("b.bin", 3000, 0)])
    bars.advance("a.bin", 1500)
    bars.advance("unplanned", 7)
    bars.note("a[1] was slow")
    bars.finish()
    text = console.export_text()

    assert "a[1] was slow" in text
    assert "2.0/2.0 kB" in text
    assert "2.0/5.0 kB" in text
    assert "org/name" in text


def test_lines_say_share_speed_and_rest(clock: FakeClock) -> None:
    lines: list[str] = []
    told = FetchLines(lines.append, clock)
    told.start("org/name", [PlannedFile("a.bin", 10_000_000, 1_000_000)])
    for _ in range(3):
        clock.pass_by(2)
        told.advance("a.bin", 1_000_000)
    told.note("again")
    clock.pass_by(1)
    told.finish()

    assert lines == [
        "fetching org/name: a.bin, 10.0 MB, 1.00 MB of it here already",
        "fetching: 40 %, 500 kB/s, 12 s left",
        "again",
        "fetched in 7.0 s",
    ]
