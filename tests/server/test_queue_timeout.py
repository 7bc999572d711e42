"""A request waits for its turn as long as it may, and is then told when to come back."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tercet_engine import AsyncEngine, EngineConfig
from tests.server.conftest import Service, serving, until

Engines = Callable[..., AsyncEngine]


@contextlib.asynccontextmanager
async def busy(
    toy_engines: Engines, seconds: float
) -> AsyncIterator[tuple[Service, threading.Event]]:
    """A server whose only place is taken until the event is set."""
    gate = threading.Event()
    config = EngineConfig(
        max_batch_tokens=64, max_sequences=1, speculation="off", max_queue_seconds=seconds
    )
    engine = toy_engines(config, before_step=lambda: gate.wait(20))
    async with serving(engine, queue_timeout=seconds) as service:
        first = asyncio.create_task(service.complete(max_tokens=1))
        await until(lambda: engine.stats().num_running == 1)
        try:
            yield service, gate
        finally:
            gate.set()
        assert (await first).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a", "max_tokens": 1}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("/v1/responses", {"input": "a"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}),
        ("/api/generate", {"model": "toy", "prompt": "a"}),
    ],
)
async def test_whoever_waits_too_long_is_answered_429(
    toy_engines: Engines, path: str, body: dict[str, object], stream: bool
) -> None:
    async with busy(toy_engines, 0.1) as (service, _):
        refused = await service.client.post(path, json={**body, "stream": stream})

        assert refused.status_code == 429
        assert "may wait 0.1 s for its turn" in refused.text
        assert int(refused.headers["retry-after"]) >= 1
        assert int(refused.headers["retry-after-ms"]) >= 1000
        assert service.log_lines()[-1]["error_code"] == "queue_timeout"


async def test_a_stream_begins_when_its_turn_has_come(toy_engines: Engines) -> None:
    async with busy(toy_engines, 5) as (service, gate):
        waiting = asyncio.create_task(service.complete(max_tokens=3, stream=True))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        gate.set()
        response = await waiting
    assert response.status_code == 200
    assert response.text.endswith("data: [DONE]\n\n")


async def test_a_batch_of_prompts_that_has_begun_is_not_sent_away(toy_engines: Engines) -> None:
    config = EngineConfig(max_batch_tokens=64, max_sequences=1, max_queue_seconds=0.05)
    engine = toy_engines(config, before_step=lambda: time.sleep(0.02))
    async with serving(engine, queue_timeout=0.05) as service:
        body = {"input": ["some words"] * 12}
        response = await service.client.post("/v1/embeddings", json=body)
    assert response.status_code == 200
    assert len(response.json()["data"]) == 12


async def test_a_client_that_leaves_while_it_waits_frees_its_place(toy_engines: Engines) -> None:
    async with busy(toy_engines, 20) as (service, _):
        engine = service.app.state.lifecycle.models.pick(None).engine
        num_before = engine.stats().num_waiting_tokens
        await hang_up(service, b'{"prompt": "wait", "max_tokens": 1, "stream": true}')

        assert engine.stats().num_waiting_tokens == num_before
        assert service.log_lines()[-1]["client_left"] is True


async def hang_up(service: Service, body: bytes) -> None:
    """Ask for a completion and leave at once, as a socket tells it."""
    messages: list[dict[str, Any]] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": body, "more_body": False},
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop() if len(messages) > 1 else messages[0]

    async def send(_: Any) -> None:
        pass

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/completions",
        "raw_path": b"/v1/completions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    await service.app(scope, receive, send)
