"""Where the server listens, and what becomes of a model that cannot be loaded."""

import asyncio
import re
import socket
import time

import httpx
import pytest

from tercet_engine import AsyncEngine, CheckpointError
from tercet_server.loop_lag import SLEEP_SECONDS
from tercet_server.runner import Server, listen, url_of
from tests.server.conftest import settings_of


def test_a_host_that_no_name_can_have_is_refused() -> None:
    with pytest.raises(OSError, match="not a host's name"):
        listen("a..b", 0)


def test_a_port_in_use_is_refused_before_anything_is_loaded() -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(OSError, match="assign"):
        listen("192.0.2.1", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_url_says_where_to_call(host: str) -> None:
    with listen(host, 0) as listener:
        assert url_of(listener).startswith(("http://127.0.0.1:", "http://[::1]:"))


def test_the_url_of_all_addresses_is_one_that_can_be_called() -> None:
    with listen("0.0.0.0", 0) as listener:
        assert url_of(listener) == f"http://localhost:{listener.getsockname()[1]}"


async def test_a_model_that_cannot_be_loaded_ends_the_server_with_the_reason() -> None:
    def load() -> list[AsyncEngine]:
        message = "model.safetensors is truncated"
        raise CheckpointError(message)

    listener = listen("127.0.0.1", 0)
    with pytest.raises(CheckpointError, match="truncated"):
        await Server(settings_of(log_level="error")).run_to_end(listener, load)
    assert listener.fileno() == -1


async def test_requests_are_answered_while_the_model_loads(toy_engine: AsyncEngine) -> None:
    may_load = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load() -> list[AsyncEngine]:
        asyncio.run_coroutine_threadsafe(may_load.wait(), loop).result()
        return [toy_engine]

    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    server = Server(settings_of(log_level="error"))
    running = asyncio.create_task(server.run_to_end(listener, load))
    async with httpx.AsyncClient(base_url=url) as client:
        early = await client.get("/ready")
        may_load.set()
        ready = asyncio.Event()
        while not ready.is_set():
            if (await client.get("/ready")).status_code == 200:
                ready.set()
    server.stop()
    await running
    assert early.status_code == 503


async def test_a_held_loop_is_told_by_how_late_it_was(toy_engine: AsyncEngine) -> None:
    listener = listen("127.0.0.1", 0)
    url = url_of(listener)
    server = Server(settings_of(log_level="error"))
    running = asyncio.create_task(server.run_to_end(listener, lambda: [toy_engine]))
    async with httpx.AsyncClient(base_url=url) as client:
        while (await client.get("/ready")).status_code != 200:
            pass
        before = await lags_beyond_half_a_second(client)
        time.sleep(SLEEP_SECONDS + 0.6)  # noqa: ASYNC251 -- what this is about
        await asyncio.sleep(0.01)
        after = await lags_beyond_half_a_second(client)
    server.stop()
    await running
    assert after == before + 1


async def lags_beyond_half_a_second(client: httpx.AsyncClient) -> float:
    text = (await client.get("/metrics")).text
    name = "tercet_event_loop_lag_seconds"
    count, below = (
        re.search(rf"^{name}_{part} (\S+)$", text, re.MULTILINE)
        for part in ("count", r'bucket\{le="0\.5"\}')
    )
    assert count
    assert below
    return float(count[1]) - float(below[1])


def test_a_flood_of_connections_is_let_in_several_at_a_time(toy_engine: AsyncEngine) -> None:
    server = Server(settings_of(log_level="error"))
    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        num_turns = runner.run(turns_to_let_in(200, server, toy_engine))
    assert num_turns < 50


async def turns_to_let_in(count: int, server: Server, engine: AsyncEngine) -> int:
    """How often the loop turns until that many connections, which came at once, are open."""
    listener = listen("127.0.0.1", 0)
    address = listener.getsockname()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(
        server.run_to_end(listener, lambda: [engine], lambda url, _models: ready.set_result(url))
    )
    await ready
    clients = [socket.create_connection(address) for _ in range(count)]
    num_turns = 0
    while len(server.server_state.connections) < count:
        await asyncio.sleep(0)
        num_turns += 1
    for client in clients:
        client.close()
    server.stop()
    await running
    return num_turns
