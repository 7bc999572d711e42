"""`tercet serve` as a process: its banner, its example, its end."""

import json
import shlex
import signal
import subprocess
import sys

import httpx
import pytest

from tercet_server.cli.serve import _is_on_the_hub
from tests.cli.conftest import CLEAN_ENVIRONMENT, RunningServer, running_server


def curl(banner: str) -> httpx.Response:
    """Do what the example in the banner would do in a shell."""
    (line,) = [line for line in banner.splitlines() if line.strip().startswith("curl ")]
    program, url, *rest = shlex.split(line)
    options = list(zip(rest[::2], rest[1::2], strict=True))
    headers = dict(value.split(": ", 1) for flag, value in options if flag == "-H")
    (body,) = [value for flag, value in options if flag == "-d"]
    assert program == "curl"
    return httpx.post(url, headers=headers, content=body, timeout=60, trust_env=False)


def test_the_banner_says_what_is_served_and_with_what(server: RunningServer) -> None:
    banner = server.banner

    assert f"serves tercet-tiny at {server.url}/v1" in banner
    assert "BitNetForCausalLM" in banner
    assert "2048 tokens" in banner
    assert "thread" in banner
    assert "keys and values up to" in banner
    assert "\x1b" not in banner


def test_the_example_in_the_banner_works(server: RunningServer) -> None:
    response = curl(server.banner)

    assert response.status_code == 200
    assert response.json()["choices"][0]["message"]["content"]


def test_loading_is_told_in_lines_where_there_is_no_terminal(server: RunningServer) -> None:
    assert "loading 5 MB" in server.banner
    assert "loaded in" in server.banner


def test_sigterm_ends_it_with_success() -> None:
    with running_server("--drain-seconds", "0") as running:
        running.process.send_signal(signal.SIGTERM)

        assert running.process.wait(timeout=30) == 0


def test_a_key_is_wanted_by_the_example_and_never_shown() -> None:
    with running_server(TERCET_API_KEY="hush-hush", TERCET_SERVED_MODEL_NAME="max") as running:
        refused = curl(running.banner)

        assert "hush-hush" not in running.banner
        assert "$TERCET_API_KEY" in running.banner
        assert "serves max at" in running.banner
        assert refused.status_code == 401
        answered = httpx.get(
            f"{running.url}/v1/models",
            headers={"Authorization": "Bearer hush-hush"},
            trust_env=False,
        )
        assert [model["id"] for model in answered.json()["data"]] == ["max"]


@pytest.mark.parametrize(
    ("model", "is_looked_for"),
    [(None, False), ("tercet-tiny", False), ("./a/b", False), ("/a/b", False), ("a/b@main", True)],
)
def test_only_a_name_of_the_hub_is_looked_for_there(model: str | None, is_looked_for: bool) -> None:
    assert _is_on_the_hub(model) is is_looked_for


def test_an_open_door_to_the_network_is_pointed_out() -> None:
    with running_server("--host", "0.0.0.0") as running:
        assert "--api-key" in running.banner
        assert running.url.startswith("http://localhost:")


def test_a_machines_log_stays_json() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tercet_server", "serve", "--port", "0", "--log-format", "json"],
        stderr=subprocess.PIPE,
        text=True,
        env=CLEAN_ENVIRONMENT,
    )
    assert process.stderr is not None
    events = []
    for line in process.stderr:
        events.append(json.loads(line)["event"])
        if events[-1] == "serving":
            process.terminate()
    process.stderr.close()

    assert process.wait(timeout=30) == 0
    assert events[-1] == "stopped"
