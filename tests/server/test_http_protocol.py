"""What a connection may do before there is a request that the application could answer."""

import asyncio
import json
import threading
from collections.abc import Callable

import pytest

from tercet_engine import AsyncEngine
from tercet_server.http_protocol import MAX_HEAD_BYTES
from tests.server.conftest import listening, until

PROBE = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
LAST_PROBE = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def completion(**fields: object) -> bytes:
    body = json.dumps({"prompt": "a", "max_tokens": 1, **fields}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


def statuses(answers: bytes) -> list[int]:
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]


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


async def test_a_head_over_the_limit_is_refused_however_it_arrives(toy_engine: AsyncEngine) -> None:
    line = b"x: " + b"y" * 995 + b"\r\n"
    async with listening(toy_engine) as live:
        below = LAST_PROBE[:-2] + line * (MAX_HEAD_BYTES // 1000 - 1) + b"\r\n"
        over = LAST_PROBE[:-2] + line * (MAX_HEAD_BYTES // 1000 + 6) + b"\r\n"

        assert statuses(await exchange(live.url, below)) == [200]
        assert statuses(await exchange(live.url, over)) in ([431], [])


async def test_a_body_does_not_count_to_the_head_of_the_request_behind_it(
    toy_engine: AsyncEngine,
) -> None:
    large = completion(prompt="x" * 2 * MAX_HEAD_BYTES)
    async with listening(toy_engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await until(lambda: len(live.server.server_state.connections) == 1)
        (connection,) = live.server.server_state.connections
        connection.data_received(large + LAST_PROBE[:25])  # as if it came in one piece
        connection.data_received(LAST_PROBE[25:])
        answers = await reader.read()
        writer.close()

    assert statuses(answers) == [400, 200]  # too long a prompt, and the probe


@pytest.mark.parametrize(
    ("behind", "status"),
    [(b"GARBAGE\r\n\r\n", 400), (PROBE[:-2] + b"x: y\r\n" * 15_000, 431)],
)
async def test_an_answer_is_finished_before_the_request_behind_it_is_refused(
    toy_engines: Callable[..., AsyncEngine], behind: bytes, status: int
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    async with listening(engine) as live:
        answering = asyncio.create_task(exchange(live.url, completion() + behind))
        await until(lambda: engine.stats().num_running + engine.stats().num_waiting > 0)
        gate.set()

        assert statuses(await answering) == [200, status]


async def test_who_leaves_gives_up_the_first_of_several_requests_too(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    long = completion(max_tokens=200, ignore_eos=True)
    async with listening(engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(long + long)
        await until(lambda: engine.stats().num_running + engine.stats().num_waiting > 0)
        writer.close()
        await until(lambda: not live.server.server_state.connections)
        gate.set()
        await until(lambda: engine.stats().num_aborted + engine.stats().num_finished > 0)

    assert (engine.stats().num_aborted, engine.stats().num_finished) == (1, 0)


async def test_a_connection_too_many_is_refused_and_the_others_are_served(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet_server.runner.room_for_connections", lambda _wanted: 2)
    async with listening(toy_engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        kept = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
        await until(lambda: len(live.server.server_state.connections) == 2)

        refusal = await exchange(live.url)
        for _, writer in kept:
            writer.write(LAST_PROBE)
        answers = [await reader.read() for reader, _ in kept]
        await until(lambda: not live.server.server_state.connections)
        after = await exchange(live.url, LAST_PROBE)
        for _, writer in kept:
            writer.close()

    head, body = refusal.split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"x-request-id: req_" in head
    assert b"retry-after: 1" in head
    assert json.loads(body)["error"]["code"] == "too_many_connections"
    assert "at most 2 connections" in json.loads(body)["error"]["message"]
    assert [statuses(answer) for answer in [*answers, after]] == [[200], [200], [200]]


async def exchange(url: str, *parts: bytes) -> bytes:
    """Send bytes, a moment between the parts, and read until the server hangs up."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        for index, part in enumerate(parts):
            if index:
                await asyncio.sleep(0.05)
            writer.write(part)
            await writer.drain()
        while piece := await reader.read(65536):
            answer += piece
    except ConnectionError:
        pass  # it hung up while we were still sending
    writer.close()
    return answer
