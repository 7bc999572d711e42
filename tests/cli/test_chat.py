"""`tercet chat`, against a server in the test, the model in this process, and a person's Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tercet_server.cli.chat import _as_url
from tercet_server.cli.conversation import ChatError
from tercet_server.cli.local import Choices, LocalAnswerer
from tercet_server.cli.remote import base_url
from tests.cli.conftest import Outcome, RunningServer, run_process

Tercet = Callable[..., Outcome]


@dataclass
class StandIn:
    """A server that says what a test wants, and remembers what it was asked."""

    url: str = ""
    models: list[str] = field(default_factory=lambda: ["parrot"])
    events: list[str] = field(default_factory=list)
    key: str | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)

    def say(self, *texts: str) -> None:
        chunks: list[dict[str, Any]] = [
            {"choices": [{"delta": {"content": text}, "finish_reason": None}]} for text in texts
        ]
        chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
        chunks.append({"choices": [], "usage": {"completion_tokens": 12}})
        self.events = [": ping", *(f"data: {json.dumps(c)}" for c in chunks), "data: [DONE]"]


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    state = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self._is_refused():
                self._answer(200, json.dumps({"data": [{"id": name} for name in state.models]}))

        def do_POST(self) -> None:
            state.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(200, "".join(f"{event}\n\n" for event in state.events))

        def _is_refused(self) -> bool:
            if state.key is None or self.headers["authorization"] == f"Bearer {state.key}":
                return False
            self._answer(401, json.dumps({"error": {"message": "wrong key."}}))
            return True

        def _answer(self, status: int, body: str) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def test_an_answer_is_written_as_it_comes_and_its_pace_beside_it(
    tercet: Tercet, stand_in: StandIn
) -> None:
    stand_in.say("Good ", "morning")

    outcome = tercet("chat", stand_in.url, "--temperature", "0", stdin="Hello\n")

    assert outcome.exit_code == 0
    assert outcome.out == "Good morning\n"
    assert outcome.err.startswith("12 tokens, first after ")
    assert "\x1b" not in outcome.out + outcome.err
    (asked,) = stand_in.asked
    assert asked == {
        "model": "parrot",
        "messages": [{"role": "user", "content": "Hello"}],
        "temperature": 0.0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_url_may_also_be_a_flag_and_the_system_prompt_too(
    tercet: Tercet, stand_in: StandIn
) -> None:
    stand_in.say("ok")

    outcome = tercet("chat", "--url", f"{stand_in.url}/v1", "--system", "be kind", stdin="hi")

    assert outcome.out == "ok\n"
    assert stand_in.asked[0]["messages"][0] == {"role": "system", "content": "be kind"}


def test_variables_do_what_the_flags_do_and_the_command_line_wins(
    tercet: Tercet, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.say("ok")
    monkeypatch.setenv("TERCET_CHAT_URL", stand_in.url)
    monkeypatch.setenv("TERCET_CHAT_SYSTEM", "be kind")
    monkeypatch.setenv("TERCET_CHAT_MAX_TOKENS", "7")
    monkeypatch.setenv("TERCET_CHAT_SEED", "1")

    assert tercet("chat", "--seed", "2", stdin="hi").out == "ok\n"
    monkeypatch.setenv("TERCET_CHAT_URL", "http://127.0.0.1:1")
    assert tercet("chat", stand_in.url, stdin="hi").out == "ok\n"

    first, second = stand_in.asked
    assert first["messages"][0] == {"role": "system", "content": "be kind"}
    assert (first["max_tokens"], first["seed"], second["seed"]) == (7, 2, 1)


def test_a_key_is_taken_from_the_flag_or_the_environment(
    tercet: Tercet, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in.key = "secret"
    stand_in.say("ok")

    assert tercet("chat", stand_in.url, "--api-key", "secret", stdin="hi").out == "ok\n"
    monkeypatch.setenv("TERCET_API_KEY", "secret,other")
    assert tercet("chat", stand_in.url, stdin="hi").out == "ok\n"


def test_a_refused_key_is_told_with_the_flag_to_give_one(tercet: Tercet, stand_in: StandIn) -> None:
    stand_in.key = "secret"

    outcome = tercet("chat", stand_in.url, stdin="hi")

    assert outcome.exit_code == 1
    assert "wrong key; give the key with --api-key" in outcome.err


def test_a_model_that_the_server_lacks_is_told_with_those_it_has(
    tercet: Tercet, stand_in: StandIn
) -> None:
    outcome = tercet("chat", stand_in.url, "--model", "owl", stdin="hi")

    assert outcome.exit_code == 1
    assert "no model owl; it has parrot" in outcome.err


def test_an_error_within_a_stream_ends_a_script_with_its_words(
    tercet: Tercet, stand_in: StandIn
) -> None:
    stand_in.events = ['data: {"error": {"message": "the engine has stopped"}}']

    outcome = tercet("chat", stand_in.url, stdin="hi")

    assert outcome.exit_code == 1
    assert outcome.err == "tercet: the engine has stopped\n"


@pytest.mark.parametrize("event", ["data: nonsense", 'data: {"choices": 3}', "data: []"])
def test_a_stream_that_is_no_answer_is_told_so(
    tercet: Tercet, stand_in: StandIn, event: str
) -> None:
    stand_in.events = [event]

    assert "no part of an answer" in tercet("chat", stand_in.url, stdin="hi").err


def test_nobody_at_the_url_is_told_with_what_to_start(tercet: Tercet) -> None:
    outcome = tercet("chat", "http://127.0.0.1:1", stdin="hi")

    assert outcome.exit_code == 1
    assert "no server answers at http://127.0.0.1:1" in outcome.err
    assert "tercet serve" in outcome.err


def test_without_a_server_a_server_model_cannot_be_chosen(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERCET_PORT", "1")

    outcome = tercet("chat", "--model", "owl", stdin="hi")

    assert "no server answers at http://127.0.0.1:1" in outcome.err


def test_without_a_server_the_embedded_model_answers_and_a_seed_repeats_it(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERCET_PORT", "1")

    first, second = (
        tercet("chat", "--seed", "5", "--max-tokens", "12", stdin="Tell me a story.\n")
        for _ in range(2)
    )

    assert first.exit_code == second.exit_code == 0
    assert len(first.out) > 12
    assert first.out == second.out
    assert first.err.startswith("12 tokens, ")


def test_a_server_on_this_host_is_found_by_itself(server: RunningServer) -> None:
    port = server.url.rsplit(":", 1)[1]

    outcome = run_process(
        "chat", "--max-tokens", "5", stdin="Hello\n/clear\nHello\n", TERCET_PORT=port
    )

    assert outcome.exit_code == 0
    assert len(outcome.out.strip().splitlines()) >= 2
    assert "5 tokens" in outcome.err
    assert "forgotten" in outcome.err


def test_nothing_to_read_is_a_conversation_that_is_over(server: RunningServer) -> None:
    assert run_process("chat", server.url) == Outcome(0, "", "")


def test_ctrl_c_stops_the_answer_and_the_next_one_comes(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    engine = toy_engines(end_every=0, before_step=lambda: time.sleep(0.005))
    answerer = LocalAnswerer(engine, Choices(temperature=0.0, max_tokens=100))
    hello = [{"role": "user", "content": "hello"}]
    try:
        answer = answerer.answer(hello)
        next(answer)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            list(answer)

        whole = list(answerer.answer(hello))
        assert sum(piece.num_tokens for piece in whole) == 100
    finally:
        answerer.close()


def test_a_conversation_too_long_is_told_with_the_way_to_begin_anew(
    toy_engine: AsyncEngine,
) -> None:
    answerer = LocalAnswerer(toy_engine, Choices())
    try:
        with pytest.raises(ChatError, match="/clear starts anew"):
            list(answerer.answer([{"role": "user", "content": "long " * 200}]))
    finally:
        answerer.close()


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://host:8000", "http://host:8000/v1"),
        ("http://host:8000/", "http://host:8000/v1"),
        ("https://host/openai/v1", "https://host/openai/v1"),
    ],
)
def test_a_url_without_a_path_means_v1(given: str, used: str) -> None:
    assert base_url(given) == used


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("https://host/v1", "https://host/v1"),
        ("localhost:8000", "http://localhost:8000"),
        ("microsoft/bitnet-b1.58-2B-4T", None),
        ("./model", None),
        ("org/name@revision", None),
    ],
)
def test_a_url_is_told_from_a_model(target: str, url: str | None) -> None:
    assert _as_url(target) == url


def test_piped_bytes_that_are_no_utf8_are_read_all_the_same() -> None:
    command = [sys.executable, "-m", "tercet_server", "chat", "tercet-tiny", "--max-tokens", "2"]

    done = subprocess.run(command, input=b"Hi \xff\xfe", capture_output=True, check=False)

    assert done.returncode == 0
