"""What an attacker writes to the socket: requests that could be read in two ways, and floods."""

import asyncio
import json

import pytest

from tercet_engine import AsyncEngine
from tercet_server.held_heads import MAX_HEADERS, MAX_PIPELINED, SMALL_BYTES
from tests.server.conftest import listening, until
from tests.server.test_http_protocol import LAST_PROBE, PROBE, exchange, statuses

POST = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"prompt": "a", "max_tokens": 1}'
HIDDEN = b"GET /hidden HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


AMBIGUOUS = {
    "a length and chunks": b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"content-length: 32\r\ncontent-length: 5\r\n\r\n" + BODY,
    "the same length twice": b"content-length: 32\r\ncontent-length: 32\r\n\r\n" + BODY,
    "a list of lengths": b"content-length: 32, 32\r\n\r\n" + BODY,
    "a length with a sign": b"content-length: +32\r\n\r\n" + BODY,
    "a length below zero": b"content-length: -1\r\n\r\n" + BODY,
    "a length in hexadecimal": b"content-length: 0x20\r\n\r\n" + BODY,
    "a length beyond 64 bits": b"content-length: 99999999999999999999999\r\n\r\n" + BODY,
    "a length of nothing": b"content-length: \r\n\r\n" + BODY,
    "a size of a chunk that is none": b"transfer-encoding: chunked\r\n\r\nzz\r\n" + BODY,
    "a size beyond 64 bits": b"transfer-encoding: chunked\r\n\r\n" + b"f" * 20 + b"\r\n" + BODY,
    "a size below zero": b"transfer-encoding: chunked\r\n\r\n-1\r\n" + BODY,
    "a chunk longer than its size": b"transfer-encoding: chunked\r\n\r\n5\r\n" + BODY + b"\r\n",
    "an unknown coding last": b"transfer-encoding: chunked, x\r\n\r\n" + chunked(BODY),
    "a blank before the colon": b"content-length : 32\r\n\r\n" + BODY,
    "a folded line": b"x: a\r\n b: c\r\ncontent-length: 32\r\n\r\n" + BODY,
    "a nul in a name": b"a\x00b: c\r\ncontent-length: 32\r\n\r\n" + BODY,
    "a nul in a value": b"a: \x00\r\ncontent-length: 32\r\n\r\n" + BODY,
    "a bare carriage return": b"a: b\rx: y\r\ncontent-length: 32\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("rest", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_could_be_read_in_two_ways_is_not_read_at_all(
    toy_engine: AsyncEngine, rest: bytes
) -> None:
    async with listening(toy_engine) as live:
        answer = await asyncio.wait_for(exchange(live.url, POST + rest + HIDDEN), 10)
        after = await exchange(live.url, LAST_PROBE)
    assert statuses(answer) == [400]
    assert b"connection: close" in answer
    assert b"/hidden" not in answer
    assert statuses(after) == [200]


END = b"\r\nhost: x\r\nconnection: close\r\n\r\n"
ODD = {
    "a line feed alone": (b"GET /health HTTP/1.1\nhost: x\nconnection: close\n\n", {200, 400}),
    "no version": (b"GET /health\r\n\r\n", {200}),
    "an absolute address": (
        b"GET http://elsewhere/health HTTP/1.1\r\nhost: y\r\nconnection: close\r\n\r\n", {200},
    ),
    "a star": (b"OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", {400, 404}),
    "a tunnel": (b"CONNECT evil:443 HTTP/1.1\r\nhost: evil:443\r\n\r\n", {400, 404, 405}),
    "an address that is none": (b"GET http://[::1 HTTP/1.1\r\nhost: x\r\n\r\n", {400}),
    "bytes beyond ASCII": (b"GET /\xff\xfe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                           {400, 404}),
    "a nul": (b"GET /%00 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", {404}),
    "half an escape": (b"GET /%f HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", {404}),
    "an upgrade to websocket": (
        b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n"
        b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n", {200},
    ),
    "an upgrade to HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
    "another verb": (b"PATCH /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", {405}),
    "a verb that is none": (b"HACK /v1/models HTTP/1.1\r\nhost: x\r\n\r\n", {400}),
    "TRACE": (b"TRACE / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", {405}),
    "an encoding of a path": (
        b"GET /page/%2e%2e%2f%2e%2e%2fetc%2fpasswd HTTP/1.1" + END,
        {404},
    ),
    "dots": (b"GET /page/../../etc/passwd HTTP/1.1" + END, {404}),
    "another host": (b"GET //evil.example/ HTTP/1.1" + END, {404}),
}  # fmt: skip


@pytest.mark.parametrize(("request_", "expected"), ODD.values(), ids=ODD)
async def test_odd_requests_are_answered_or_refused(
    toy_engine: AsyncEngine, request_: bytes, expected: set[int]
) -> None:
    async with listening(toy_engine) as live:
        answer = await asyncio.wait_for(exchange(live.url, request_), 10)
        after = await exchange(live.url, LAST_PROBE)
    found = statuses(answer)
    assert len(found) == 1
    assert found[0] in expected
    assert b"\r\nlocation:" not in answer.lower()
    assert b"\r\nserver:" not in answer.lower()
    assert b"root:" not in answer
    assert statuses(after) == [200]


async def test_more_headers_than_anybody_needs_are_refused(toy_engine: AsyncEngine) -> None:
    few = LAST_PROBE[:-2] + b"a:\r\n" * (MAX_HEADERS - 2) + b"\r\n"
    many = LAST_PROBE[:-2] + b"a:\r\n" * (MAX_HEADERS - 1) + b"\r\n"
    async with listening(toy_engine) as live:
        assert statuses(await exchange(live.url, few)) == [200]
        refused = await exchange(live.url, many)
    assert statuses(refused) == [431]
    assert json.loads(refused.partition(b"\r\n\r\n")[2])["error"]["code"] == "head_too_large"


async def test_a_flood_of_requests_on_one_connection_is_cut_short(toy_engine: AsyncEngine) -> None:
    async with listening(toy_engine) as live:
        answers = await asyncio.wait_for(exchange(live.url, PROBE * 10_000), 20)
        found = statuses(answers)
        assert found[-1] == 429
        assert set(found[:-1]) == {200}
        assert len(found) <= MAX_PIPELINED + 3
        within = PROBE * MAX_PIPELINED + LAST_PROBE
        assert statuses(await exchange(live.url, within)) == [200] * (MAX_PIPELINED + 1)


async def test_all_heads_together_have_a_bound_and_small_ones_are_always_read(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet_server.held_heads.MAX_HELD_BYTES", 40_000)
    unfinished = PROBE[:-2] + b"x: " + b"y" * 30_000
    async with listening(toy_engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(unfinished)
        (connection,) = await connections(live)
        await until(lambda: connection._heads._all.num_bytes > 30_000)

        large = await exchange(live.url, PROBE[:-2] + b"x: " + b"y" * 30_000 + b"\r\n\r\n")
        small = await exchange(live.url, LAST_PROBE[:-2] + b"x: " + b"y" * 2000 + b"\r\n\r\n")
        writer.close()
        await until(lambda: connection._heads._all.num_bytes == 0)
        again = await exchange(live.url, LAST_PROBE[:-2] + b"x: " + b"y" * 30_000 + b"\r\n\r\n")

    assert statuses(large) in ([429], [])
    assert statuses(small) == [200]
    assert statuses(again) == [200]
    assert SMALL_BYTES < 40_000


async def connections(live):
    await until(lambda: len(live.server.server_state.connections) == 1)
    return live.server.server_state.connections


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        (b"content-length: 99999999999\r\n\r\n", 413),
        (b"transfer-encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 80, 413),
        (b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 100_000 + b"\r\n \r\n0\r\n\r\n", 400),
        (b"content-length: 20\r\ncontent-encoding: gzip\r\n\r\n" + b"\x1f\x8b" * 10, 415),
    ],
    ids=["a giant length", "chunks without end", "a giant extension", "a compressed body"],
)
async def test_giant_and_compressed_bodies_are_refused(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, rest: bytes, status: int
) -> None:
    monkeypatch.setattr("tercet_server.middleware.body_limit._MAX_DISCARD_SECONDS", 0.2)
    monkeypatch.setattr("tercet_server.http_protocol.MAX_REST_SECONDS", 0.2)
    async with listening(toy_engine) as live:
        request = POST + b"connection: close\r\n" + rest
        answer = await asyncio.wait_for(exchange(live.url, request), 20)
    assert statuses(answer) in ([status], [])  # a client still writing may see a reset


async def test_a_client_that_says_it_sends_no_more_is_let_go(toy_engine: AsyncEngine) -> None:
    async with listening(toy_engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(POST + b"content-length: 100\r\n\r\n{")
        writer.write_eof()
        await asyncio.wait_for(reader.read(), 10)
        await until(lambda: not live.server.server_state.connections)
        await until(lambda: not live.server.server_state.tasks)
        writer.close()
