"""Whom no line would take is sent away before anything of the request is looked at."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tercet_engine import AsyncEngine, EngineConfig
from tests.server.conftest import Service, serving, until

Engines = Callable[..., AsyncEngine]


@contextlib.asynccontextmanager
async def full(toy_engines: Engines, **fields: Any) -> AsyncIterator[Service]:
    """A server whose only place is taken, and where nobody may wait."""
    gate = threading.Event()
    config = EngineConfig(max_batch_tokens=64, max_sequences=1, max_waiting_requests=0)
    engine = toy_engines(config, before_step=lambda: gate.wait(20))
    async with serving(engine, **fields) as service:
        headers = {"x-api-key": "mine"}
        body = {"prompt": "a", "max_tokens": 1}
        first = asyncio.create_task(
            service.client.post("/v1/completions", json=body, headers=headers)
        )
        await until(lambda: engine.stats().num_running == 1)
        yield service
        gate.set()
        assert (await first).status_code == 200
        again = await service.client.post("/v1/completions", json=body, headers=headers)
        assert again.status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
async def test_a_body_is_not_even_read(toy_engines: Engines, path: str) -> None:
    async with full(toy_engines) as service:
        refused = await service.client.post(path, content=b"no JSON at all")
        engine = service.app.state.lifecycle.models.pick(None).engine

        assert refused.status_code == 429
        assert "at most 0 requests may wait" in refused.text
        assert refused.headers["retry-after"] == "1"
        assert engine.stats().refusals["requests"] == 1
        assert service.log_lines()[-1]["error_code"] == "overloaded"


async def test_what_needs_no_engine_is_answered(toy_engines: Engines) -> None:
    async with full(toy_engines) as service:
        for path in ("/v1/models", "/health", "/ready", "/metrics"):
            assert (await service.client.get(path)).status_code == 200
        counted = await service.client.post("/tokenize", json={"prompt": "a"})
        assert counted.status_code == 200


async def test_who_has_no_key_is_told_that(toy_engines: Engines) -> None:
    async with full(toy_engines, api_key=["mine"]) as service:
        for key, status in (("wrong", 401), ("mine", 429)):
            headers = {"x-api-key": key, "content-type": "application/json"}
            refused = await service.client.post("/v1/completions", content=b"{}", headers=headers)
            assert refused.status_code == status


@pytest.mark.parametrize("is_first_full", [True, False])
async def test_one_full_line_of_several_does_not_shut_the_door(
    toy_engines: Engines, is_first_full: bool
) -> None:
    gate = threading.Event()
    config = EngineConfig(max_batch_tokens=64, max_sequences=1, max_waiting_requests=0)
    engines = [
        toy_engines(config, before_step=(lambda: gate.wait(20)) if is_full else lambda: None)
        for is_full in (is_first_full, not is_first_full)
    ]
    full, free = ("a", "b") if is_first_full else ("b", "a")
    async with serving(*engines, model=["a=one", "b=two"]) as service:
        first = asyncio.create_task(service.complete(model=full, max_tokens=1))
        await until(lambda: any(engine.stats().num_running for engine in engines))

        assert (await service.complete(model=free, max_tokens=1)).status_code == 200
        assert (await service.complete(model=full, max_tokens=1)).status_code == 429
        gate.set()
        assert (await first).status_code == 200
