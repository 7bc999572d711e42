"""Clients that leave, over real sockets: what they asked for is no longer computed."""

import asyncio
import json
import threading
from collections.abc import Callable

import pytest

from tercet_engine import AsyncEngine
from tercet_server.app import create_app
from tercet_server.served_models import ServedModels
from tests.server.conftest import CHAT, TEXT, Live, listening, serving, settings_of, until

ENDLESS = {"max_tokens": 400, "ignore_eos": True}


async def send(
    live: Live, path: str, body: dict
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request and leave the answer to be read."""
    host, port = live.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
        f"content-length: {len(content)}\r\n\r\n"
    )
    writer.write(head.encode() + content)
    await writer.drain()
    return reader, writer


class Gate:
    """Lets the engine take a number of steps and then holds it, so that nothing ends by itself."""

    def __init__(self, steps: int) -> None:
        self._steps = threading.Semaphore(steps)
        self._is_open = threading.Event()

    def __call__(self) -> None:
        while not (self._is_open.is_set() or self._steps.acquire(timeout=0.01)):
            pass

    def open(self) -> None:
        self._is_open.set()


def is_idle(engine: AsyncEngine) -> bool:
    stats = engine.stats()
    return stats.num_running == stats.num_waiting == 0


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("path", "fields", "num_sequences"),
    [
        ("/v1/chat/completions", {**CHAT, **ENDLESS}, 1),
        ("/v1/chat/completions", {**CHAT, **ENDLESS, "n": 3}, 3),
        ("/v1/completions", {**TEXT, **ENDLESS, "prompt": ["a", "b"], "n": 2}, 4),
        ("/v1/responses", {"input": "hello", "max_output_tokens": 400}, 1),
        ("/v1/messages", {**CHAT, "max_tokens": 400}, 1),
        ("/api/chat", {**CHAT, "options": {"num_predict": 400}}, 1),
        ("/api/generate", {**TEXT, "options": {"num_predict": 400}}, 1),
    ],
)
async def test_all_that_a_client_asked_for_is_aborted_when_it_leaves(
    toy_engines: Callable[..., AsyncEngine],
    path: str,
    fields: dict,
    num_sequences: int,
    stream: bool,
) -> None:
    gate = Gate(steps=3)
    engine = toy_engines(end_every=0, before_step=gate)
    async with listening(engine) as live:
        _, writer = await send(live, path, {**fields, "stream": stream})
        await until(lambda: engine.stats().num_generated_tokens >= num_sequences)
        writer.close()
        await writer.wait_closed()
        await asyncio.sleep(0.05)
        gate.open()
        await until(lambda: is_idle(engine))

        assert engine.stats().num_aborted == num_sequences
        assert engine.stats().num_finished == 0
        await engine.check_invariants()


async def test_one_that_leaves_does_not_disturb_another(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=3)
    engine = toy_engines(before_step=gate)
    body = {**CHAT, "max_tokens": 30, "ignore_eos": True, "seed": 1, "temperature": 1}
    async with listening(engine) as live:
        stays, staying = await send(live, "/v1/chat/completions", body)
        _, leaving = await send(live, "/v1/chat/completions", {**body, "stream": True})
        await until(lambda: engine.stats().num_generated_tokens >= 2)
        leaving.close()
        await asyncio.sleep(0.05)
        gate.open()
        head = await stays.readuntil(b"\r\n\r\n")
        staying.close()

        assert head.startswith(b"HTTP/1.1 200")
        assert engine.stats().num_aborted == 1


async def test_one_that_leaves_while_it_waits_gives_its_place_back(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=0)
    engine = toy_engines(before_step=gate)
    async with listening(engine) as live:
        _, writer = await send(live, "/v1/completions", {"prompt": ["a"] * 24})  # all there is
        await until(lambda: not is_idle(engine))
        writer.close()
        await asyncio.sleep(0.05)
        reader, second = await send(live, "/v1/completions", {"prompt": "a", "max_tokens": 1})
        gate.open()
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        second.close()


def chat_scope() -> dict:
    """A request as the server hands it to the application."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/v1/chat/completions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }


async def test_a_client_that_takes_nothing_in_is_cut_off(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(before_step=gate)
    settings = settings_of(stalled_client_seconds=0.05, log_level="error")
    app = create_app(settings, ServedModels.of(settings, [engine]))
    body = json.dumps({**CHAT, **ENDLESS, "stream": True}).encode()
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict:
        return next(messages, None) or await asyncio.Event().wait()

    async def send(message: dict) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    await app(chat_scope(), receive, send)
    gate.open()
    await until(lambda: engine.stats().num_aborted == 1)


@pytest.mark.parametrize(("stream", "status"), [(True, 200), (False, 499)])
async def test_leaving_is_logged_as_that_and_not_as_a_failure(
    toy_engines: Callable[..., AsyncEngine], stream: bool, status: int
) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(before_step=gate)
    body = json.dumps({**CHAT, **ENDLESS, "stream": stream}).encode()
    messages = iter([{"type": "http.request", "body": body}])

    async def receive() -> dict:
        if message := next(messages, None):
            return message
        await until(lambda: engine.stats().num_generated_tokens > 0)
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        pass

    async with serving(engine) as service:
        await service.app(chat_scope(), receive, send)
        gate.open()
        (line,) = service.log_lines()
    assert (line["event"], line["status"]) == ("request", status)
    assert line["error_code"] == "client_left"
    assert line["client_left"] is True


async def test_one_that_leaves_in_the_midst_of_its_body_is_forgotten(
    toy_engine: AsyncEngine,
) -> None:
    async with listening(toy_engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            b"content-length: 100\r\n\r\n{"
        )
        await writer.drain()
        await until(lambda: bool(live.server.server_state.tasks))
        writer.close()
        await until(lambda: not live.server.server_state.tasks)
