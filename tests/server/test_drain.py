"""SIGTERM, as the operating system sends it, to the server as a process; and the same inside."""

import asyncio
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import CHAT, listening, until
from tests.server.test_disconnect import Gate

ROOT = Path(__file__).parents[2]
PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the tests themselves ignore it
from tercet_server.runner import serve
from tercet_server.settings import load_settings
from tests.oracle.toy_engine import make_toy_engine

def load(settings, progress):
    print("loading", flush=True)
    time.sleep({load_seconds})
    return [make_toy_engine(end_every=0, before_step=lambda: time.sleep(0.01))]

settings = load_settings(port=0, drain_seconds={drain_seconds}, log_level="error")
sys.exit(serve(settings, load=load, on_ready=lambda url, models: print(url, flush=True)))
"""
BODY = {**CHAT, "stream": True, "ignore_eos": True}


class Process:
    """A server in a process of its own."""

    def __init__(self, *, drain_seconds: float = 20, load_seconds: float = 0) -> None:
        program = PROGRAM.format(drain_seconds=drain_seconds, load_seconds=load_seconds)
        self._process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.to_thread(self._process.stdout.readline)).strip()

    async def url(self) -> str:
        assert await self.line() == "loading"
        return await self.line()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self._process.wait, 30)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def processes() -> AsyncIterator[Callable[..., Process]]:
    started: list[Process] = []

    def start(**options: float) -> Process:
        started.append(Process(**options))
        return started[-1]

    yield start
    for process in started:
        process.end()


async def events(response: httpx.Response) -> AsyncIterator[str]:
    async for line in response.aiter_lines():
        if line:
            yield line.removeprefix("data: ")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_stream_in_progress_is_finished_and_the_process_ends_well(
    processes: Callable[..., Process], number: signal.Signals
) -> None:
    process = processes()
    async with (
        httpx.AsyncClient(base_url=await process.url()) as client,
        client.stream("POST", "/v1/chat/completions", json={**BODY, "max_tokens": 60}) as response,
    ):
        received = events(response)
        await anext(received)
        process.signal(number)
        rest = [event async for event in received]

    assert rest[-1] == "[DONE]"
    assert json.loads(rest[-2])["choices"][0]["finish_reason"] == "length"
    assert await process.exit_code() == 0


async def test_a_stream_beyond_the_deadline_ends_with_an_error_event(
    processes: Callable[..., Process],
) -> None:
    process = processes(drain_seconds=0.3)
    async with (
        httpx.AsyncClient(base_url=await process.url()) as client,
        client.stream("POST", "/v1/chat/completions", json=BODY) as response,
    ):
        received = events(response)
        await anext(received)
        process.signal(signal.SIGTERM)
        rest = [event async for event in received]

    assert json.loads(rest[-1])["error"]["code"] == "shutting_down"
    assert await process.exit_code() == 0


async def test_new_work_is_refused_while_old_work_is_finished(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(before_step=gate)
    async with (
        listening(engine) as live,
        httpx.AsyncClient(base_url=live.url) as client,
        client.stream("POST", "/v1/chat/completions", json={**BODY, "max_tokens": 9}) as response,
    ):
        received = events(response)
        await anext(received)
        live.server.stop()
        await asyncio.sleep(0.05)

        ready = await client.get("/ready")
        health = await client.get("/health")
        refused = await client.post("/v1/chat/completions", json=CHAT)
        gate.open()
        rest = [event async for event in received]

    assert (ready.status_code, health.status_code, refused.status_code) == (503, 200, 503)
    assert refused.json()["error"]["code"] == "shutting_down"
    assert refused.headers["retry-after"] == ready.headers["retry-after"] == "5"
    assert rest[-1] == "[DONE]"


async def test_an_unstreamed_request_beyond_the_deadline_is_a_503(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=1)
    engine = toy_engines(before_step=gate)
    async with listening(engine, drain_seconds=0.1) as live:
        async with httpx.AsyncClient(base_url=live.url) as client:
            waiting = asyncio.create_task(client.post("/v1/chat/completions", json=CHAT))
            await until(lambda: engine.stats().num_generated_tokens > 0)
            live.server.stop()
            response = await waiting
        gate.open()
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "shutting_down"


async def test_a_second_signal_ends_the_process_at_once(processes: Callable[..., Process]) -> None:
    process = processes(drain_seconds=600)
    async with (
        httpx.AsyncClient(base_url=await process.url()) as client,
        client.stream("POST", "/v1/chat/completions", json=BODY) as response,
    ):
        await anext(events(response))
        process.signal(signal.SIGTERM)
        while (await client.get("/ready")).status_code == 200:
            pass
        process.signal(signal.SIGTERM)
        assert await process.exit_code() == 128 + signal.SIGTERM


async def test_a_signal_while_the_model_loads_does_not_wait_for_it(
    processes: Callable[..., Process],
) -> None:
    process = processes(load_seconds=600)
    assert await process.line() == "loading"
    process.signal(signal.SIGTERM)
    assert await process.exit_code() == 0
