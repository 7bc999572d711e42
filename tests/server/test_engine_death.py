"""An engine that ends by an error nobody foresaw: everybody is told, and the process ends too."""

import asyncio
import contextlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tercet_engine import AsyncEngine, EngineDead
from tercet_server.runner import Server, listen, url_of
from tests.server.conftest import CHAT, settings_of
from tests.server.test_disconnect import Gate

ROOT = Path(__file__).parents[2]
STREAM = {**CHAT, "stream": True, "ignore_eos": True}


async def test_every_stream_ends_with_an_error_and_the_server_with_the_reason(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    steps = iter(range(100))

    def die() -> None:
        if next(steps) == 5:
            message = "a broken invariant"
            raise AssertionError(message)

    engine = toy_engines(end_every=0, before_step=die)
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    server = Server(settings_of(log_level="error"))
    ready = asyncio.Event()
    running = asyncio.create_task(
        server.run_to_end(listener, lambda: [engine], lambda *_: ready.set())
    )
    await ready.wait()
    async with httpx.AsyncClient(base_url=url) as client:
        answers = await asyncio.gather(
            *(client.post("/v1/chat/completions", json=STREAM) for _ in range(3))
        )
    with pytest.raises(EngineDead, match="restart"):
        await running

    for answer in answers:
        last = answer.text.strip().splitlines()[-1]  # an event, or a 503 of who had not begun
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "engine_dead"
    assert any(answer.text.startswith("data: ") for answer in answers)


async def test_health_fails_while_the_streams_of_another_model_are_finished(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=3)

    def die() -> None:
        message = "a broken invariant"
        raise AssertionError(message)

    engines = [
        toy_engines(end_every=0, before_step=gate),
        toy_engines(end_every=0, before_step=die),
    ]
    listener = listen("127.0.0.1", 0)
    server = Server(settings_of(log_level="error", model=["sound=a/b", "broken=c/d"]))
    ready = asyncio.Event()
    running = asyncio.create_task(
        server.run_to_end(listener, lambda: engines, lambda *_: ready.set())
    )
    await ready.wait()
    async with httpx.AsyncClient(base_url=url_of(listener)) as client:
        body = {**STREAM, "model": "sound", "max_tokens": 8}
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.aiter_lines()
            await anext(lines)
            await client.post("/v1/chat/completions", json={**CHAT, "model": "broken"})
            health = await client.get("/health")
            gate.open()
            rest = [line async for line in lines if line]
    with contextlib.suppress(EngineDead):
        await running

    assert health.status_code == 503
    assert rest[-1] == "data: [DONE]"


def test_the_process_ends_with_a_sentence_and_a_status_that_has_it_restarted() -> None:
    program = """
    import itertools, threading, httpx
    from tercet_server.cli import main
    from tercet_server.cli import serve as command
    from tests.oracle.toy_engine import make_toy_engine

    steps = itertools.count()

    def die():
        assert next(steps) < 2

    def ask(url, models):
        threading.Thread(target=httpx.post, args=[f"{url}/v1/completions"], daemon=True,
                         kwargs={"json": {"prompt": "a"}, "trust_env": False}).start()

    command.load_from_settings = lambda *_, **__: [make_toy_engine(end_every=0, before_step=die)]
    command._greet = lambda settings, url, models: ask(url, models)
    main(["serve", "--port", "0", "--log-format", "json"])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == ("tercet: the engine has stopped and cannot serve requests; restart the server")
    events = [json.loads(line)["event"] for line in done.stderr.splitlines() if line[0] == "{"]
    assert "the engine's thread has died" in events
