"""Clients that mean no good, or whose network is bad: halves of requests, answers not taken in.

None of them gets an answer that counts. What they must not do is to leave something behind: a
connection, a task, a block of the KV cache.
"""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from benchmarks.soak.tally import LEFT, Tally
from benchmarks.soak.wire import KEY, Connection

_READ_SECONDS: Final = 20.0
_FLOOD: Final = 200
_STORY: Final = [{"role": "user", "content": "Tell me a very long story."}]
_FLOODS: Final = (
    b"",
    b"GET / HTTP/1.1\r\n",
    b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # the beginning of TLS
)


async def vandal(connection: Connection, draw: random.Random, tally: Tally) -> None:
    """One misdeed, on connections of its own."""
    with contextlib.suppress(OSError, EOFError):
        await draw.choice(_DEEDS)(connection.port, draw)
    tally.answered("vandals", LEFT)
    await asyncio.sleep(draw.uniform(0, 0.5))


async def _stop_reading(port: int, draw: random.Random) -> None:
    """Ask for much, take in a little of it and then nothing until cut off or tired of it."""
    async with _little_window(port) as stream:
        await _send(stream, _request(_much()))
        await _take(stream, 2000)
        await asyncio.sleep(draw.uniform(1, 9))


async def _read_byte_by_byte(port: int, draw: random.Random) -> None:
    async with _little_window(port) as stream:
        await _send(stream, _request(_much()))
        async with asyncio.timeout(_READ_SECONDS):
            for _ in range(draw.randint(50, 600)):
                if not await _take(stream, 1):
                    return
                await asyncio.sleep(0.01)


async def _send_half(port: int, draw: random.Random) -> None:
    """A head without its end, or a body that is cut off in its midst."""
    request = _request(_much())
    async with _connected(port) as stream:
        await _send(stream, request[: draw.randrange(len(request))])
        await asyncio.sleep(draw.uniform(0, 3))


async def _send_slowly(port: int, draw: random.Random) -> None:
    """A whole request, a few bytes at a time; the answer is left."""
    request = _request({"messages": _STORY, "max_tokens": 5})
    async with _connected(port) as stream:
        for start in range(0, len(request), 16):
            await _send(stream, request[start : start + 16])
            await asyncio.sleep(0.05)
        if draw.random() < 0.5:
            await _take(stream, 100)


async def _abort_upload(port: int, draw: random.Random) -> None:
    """Megabytes are announced, some are sent."""
    announced = draw.choice((1 << 20, 3 << 20, 1 << 30))
    async with _connected(port) as stream:
        await _send(stream, _head(announced))
        for _ in range(draw.randint(1, 20)):
            await _send(stream, b'{"messages": "' + b"x" * 30_000)


async def _chunked_upload(port: int, draw: random.Random) -> None:
    """A body in chunks that never ends, or with a chunk that is none."""
    async with _connected(port) as stream:
        await _send(stream, _head(None))
        for _ in range(draw.randint(1, 10)):
            await _send(stream, b"100\r\n" + b"x" * 256 + b"\r\n")
        await _send(stream, draw.choice((b"zz\r\n", b"-5\r\nxx\r\n", b"")))
        await asyncio.sleep(draw.uniform(0, 1))


async def _no_http(port: int, draw: random.Random) -> None:
    """Bytes that are no request, heads that are too long or contradict themselves."""
    nonsense = [
        draw.randbytes(200),
        b"\r\n" * 50,
        b"GET  / HTTP/9.9\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: \x00\xff\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    ]
    async with _connected(port) as stream:
        await _send(stream, draw.choice(nonsense))
        async with asyncio.timeout(2):
            await _take(stream, 4000)


async def _pipeline(port: int, draw: random.Random) -> None:
    """Many requests at once on one connection, which leaves before most are answered."""
    request = _request({"messages": _STORY, "max_tokens": 4})
    async with _connected(port) as stream:
        await _send(stream, request * draw.randint(2, 20))
        await _take(stream, 1000)


async def _flood(port: int, draw: random.Random) -> None:
    """Many connections at once, which say little or nothing."""
    said = draw.choice(_FLOODS)
    async with contextlib.AsyncExitStack() as stack:
        opened = [stack.enter_async_context(_connected(port)) for _ in range(_FLOOD)]
        for stream in await asyncio.gather(*opened, return_exceptions=True):
            if isinstance(stream, socket.socket):
                await _send(stream, said)
        await asyncio.sleep(draw.uniform(0, 2))


async def _reset(port: int, draw: random.Random) -> None:
    """A stream that is left by a reset, without good-bye."""
    async with _connected(port) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await _send(stream, _request(_much()))
        await _take(stream, draw.choice((1, 500, 5000)))


_DEEDS: Final[tuple[Callable[[int, random.Random], Awaitable[None]], ...]] = (
    *(_stop_reading, _read_byte_by_byte, _send_half, _send_slowly, _abort_upload),
    *(_chunked_upload, _no_http, _pipeline, _flood, _reset),
)


def _much() -> dict[str, object]:
    """A request whose answer no buffer holds."""
    return {
        "messages": _STORY,
        "max_tokens": 300,
        "ignore_eos": True,
        "n": 4,
        "logprobs": True,
        "top_logprobs": 20,
        "stream": True,
    }


def _request(body: dict[str, object]) -> bytes:
    content = json.dumps(body).encode()
    return _head(len(content)) + content


def _head(num_bytes: int | None) -> bytes:
    size = "transfer-encoding: chunked" if num_bytes is None else f"content-length: {num_bytes}"
    return (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\n{size}\r\n\r\n"
    ).encode()


@contextlib.asynccontextmanager
async def _connected(port: int, window: int | None = None) -> AsyncIterator[socket.socket]:
    stream = socket.socket()
    try:
        stream.setblocking(False)  # noqa: FBT003 -- socket's own
        if window:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await asyncio.get_running_loop().sock_connect(stream, ("127.0.0.1", port))
        yield stream
    finally:
        stream.close()


def _little_window(port: int) -> contextlib.AbstractAsyncContextManager[socket.socket]:
    return _connected(port, 2048)


async def _send(stream: socket.socket, data: bytes) -> None:
    async with asyncio.timeout(_READ_SECONDS):
        await asyncio.get_running_loop().sock_sendall(stream, data)


async def _take(stream: socket.socket, num_bytes: int) -> bytes:
    async with asyncio.timeout(_READ_SECONDS):
        return await asyncio.get_running_loop().sock_recv(stream, num_bytes)
