"""Where the server listens, and what becomes of a model that cannot be loaded."""

import asyncio

import httpx
import pytest

from tercet_engine import AsyncEngine, CheckpointError
from tercet_server.runner import Server, listen, url_of
from tests.server.conftest import listening, settings_of


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
    def load() -> AsyncEngine:
        message = "model.safetensors is truncated"
        raise CheckpointError(message)

    listener = listen("127.0.0.1", 0)
    with pytest.raises(CheckpointError, match="truncated"):
        await Server(settings_of(log_level="error")).run_to_end(listener, load)
    assert listener.fileno() == -1


async def test_requests_are_answered_while_the_model_loads(toy_engine: AsyncEngine) -> None:
    may_load = asyncio.Event()
    loop = asyncio.get_running_loop()

    def load() -> AsyncEngine:
        asyncio.run_coroutine_threadsafe(may_load.wait(), loop).result()
        return toy_engine

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


@pytest.mark.parametrize(
    "junk", [b"GARBAGE\r\n\r\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n"]
)
async def test_what_is_not_http_gets_an_error_of_the_usual_shape(
    toy_engine: AsyncEngine, junk: bytes
) -> None:
    async with listening(toy_engine) as live:
        answer = await exchange(live.url, junk)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id: req_" in answer
    assert b'{"error": {"message": "this is not a valid HTTP request"' in answer


@pytest.mark.parametrize("line", [b"x: " + b"y" * 2000 + b"\r\n", b"x"])
async def test_a_head_without_end_is_refused(toy_engine: AsyncEngine, line: bytes) -> None:
    async with listening(toy_engine) as live:
        endless = b"GET / HTTP/1.1\r\n" + line * (200_000 // len(line))
        answer = await exchange(live.url, endless)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


async def exchange(url: str, data: bytes) -> bytes:
    """Send bytes and read what comes back until the server hangs up."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        writer.write(data)
        answer = await reader.read()
    except ConnectionError:
        pass  # it hung up while we were still sending
    writer.close()
    return answer
