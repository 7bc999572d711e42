"""Connections that could be held for nothing: each ends, whatever its client does."""

import asyncio
from collections.abc import Callable

import pytest

from tercet_engine import AsyncEngine
from tercet_server.write_watch import WriteWatch
from tests.server.conftest import Live, listening, until

GET = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
OPENAPI = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n"
JSON = b"host: x\r\ncontent-type: application/json\r\n"
WITHOUT_END = b"POST /health HTTP/1.1\r\n" + JSON + b"content-length: 99999999999\r\n\r\n"
SHORT = b"POST /health HTTP/1.1\r\n" + JSON + b"content-length: 5\r\n\r\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_HEAD_SECONDS", "MAX_REST_SECONDS", "MAX_STILL_SECONDS"):
        monkeypatch.setattr(f"tercet_server.http_protocol.{name}", 0.3, raising=False)
        monkeypatch.setattr(f"tercet_server.write_watch.{name}", 0.3, raising=False)


class Connection:
    """A client's end; `is_open` is what the server says."""

    def __init__(self, live: Live, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.live, self.reader, self.writer = live, reader, writer

    @property
    def num_open(self) -> int:
        return len(self.live.server.server_state.connections)

    async def send(self, *parts: bytes, seconds: float = 0.0) -> None:
        for part in parts:
            if self.writer.is_closing():
                return
            self.writer.write(part)
            await asyncio.sleep(seconds)


class Waiting:
    """A connection on which as much waits to be sent whenever one looks."""

    def __init__(self, transport: asyncio.Transport, num_bytes: int) -> None:
        self.abort = transport.abort
        self.get_write_buffer_size = lambda: num_bytes


async def connect(live: Live, **options: int) -> Connection:
    host, port = live.url.removeprefix("http://").split(":")
    return Connection(live, *await asyncio.open_connection(host, int(port), **options))


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [b"GET /health HT"],
        [GET[:-2], *[b"a: b\r\n"] * 30],
        [b"\r\n"] * 30,
        [GET, *[b"\r\n"] * 30],
        [GET, b"\r\n"],
        [GET, b"GET /hea"],
        [GET, GET[:-2], *[b"a: b\r\n"] * 30],
        [WITHOUT_END],
        [WITHOUT_END, *[b"x"] * 30],
        [SHORT, b"12345"],
        [SHORT, b"12345", *[b"\r\n"] * 30],
    ],
    ids=[
        *("nothing", "half a line", "headers without end", "blanks", "blanks behind an answer"),
        *("one blank", "half a request behind an answer", "headers behind an answer"),
        *("a body that never comes", "a body that dribbles", "a body that was not wanted"),
        "blanks behind it",
    ],
)
async def test_a_client_that_sends_too_slowly_is_let_go(
    toy_engine: AsyncEngine, parts: list[bytes]
) -> None:
    async with listening(toy_engine, keep_alive_seconds=1) as live:
        connection = await connect(live)
        await until(lambda: connection.num_open == 1)
        sending = asyncio.create_task(connection.send(*parts, seconds=0.1))
        await asyncio.wait_for(until(lambda: connection.num_open == 0), 5)
        await sending
        connection.writer.close()


@pytest.mark.parametrize("request_", [OPENAPI * 4, OPENAPI], ids=["several", "one"])
async def test_a_client_that_does_not_read_its_answer_is_let_go(
    toy_engine: AsyncEngine, request_: bytes
) -> None:
    async with listening(toy_engine, keep_alive_seconds=1) as live:
        connection = await connect(live, limit=1024)
        connection.writer.get_extra_info("socket").setsockopt(1, 8, 2048)  # SO_RCVBUF
        await connection.send(*[request_] * 8)
        await until(lambda: connection.num_open == 1)
        await asyncio.wait_for(until(lambda: connection.num_open == 0), 10)
        connection.writer.transport.abort()


async def test_a_client_that_reads_slowly_gets_all_of_its_answer(
    toy_engine: AsyncEngine,
) -> None:
    async with listening(toy_engine) as live:
        connection = await connect(live, limit=1024)
        await connection.send(OPENAPI.replace(b"host", b"connection: close\r\nhost"))
        answer = b""
        while piece := await connection.reader.read(8192):
            answer += piece
            await asyncio.sleep(0.01)
        connection.writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert len(body) == int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


async def test_a_client_that_reads_on_is_not_let_go_for_what_is_written_next(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(toy_engine) as live:
        connection = await connect(live)
        await until(lambda: connection.num_open == 1)
        await connection.send(GET)
        await connection.reader.readline()  # now it may stay
        (protocol,) = live.server.server_state.connections
        transport = protocol.transport
        monkeypatch.setattr(
            protocol, "_watch", WriteWatch(asyncio.get_running_loop(), Waiting(transport, 70_000))
        )
        for _ in range(8):  # read by the client, and filled up again
            protocol.pause_writing()
            await asyncio.sleep(0.1)
            protocol.resume_writing()
        assert not transport.is_closing()
        protocol.pause_writing()
        await asyncio.wait_for(until(transport.is_closing), 5)
        connection.writer.close()


async def test_whoever_waits_for_an_answer_is_not_let_go(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    import threading

    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    body = b'{"prompt": "a", "max_tokens": 1}'
    head = b"POST /v1/completions HTTP/1.1\r\n" + JSON + b"content-length: %d\r\n\r\n" % len(body)
    async with listening(engine, keep_alive_seconds=1) as live:
        connection = await connect(live)
        await connection.send(head, body)
        await asyncio.sleep(1.2)
        gate.set()
        assert (await connection.reader.readline()).startswith(b"HTTP/1.1 200")
        connection.writer.close()
