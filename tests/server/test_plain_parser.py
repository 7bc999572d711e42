"""An offer to speak another protocol is not taken, and costs neither body nor connection."""

import asyncio

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import listening
from tests.server.test_http_protocol import PROBE, exchange, statuses

H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n"
SOCKETS = (
    b"connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
BODY = b'{"prompt": "a", "max_tokens": 1}'
POST = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
WITH_LENGTH = b"content-length: %d\r\n\r\n" % len(BODY) + BODY
IN_CHUNKS = b"transfer-encoding: chunked\r\n\r\n5\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (
    BODY[:5],
    len(BODY) - 5,
    BODY[5:],
)
LAST = b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


@pytest.mark.parametrize("offer", [H2C, SOCKETS], ids=["HTTP/2", "WebSockets"])
@pytest.mark.parametrize("body", [WITH_LENGTH, IN_CHUNKS], ids=["length", "chunks"])
async def test_requests_that_offer_it_are_answered(
    toy_engine: AsyncEngine, offer: bytes, body: bytes
) -> None:
    get = PROBE[:-2] + offer + b"\r\n"
    async with listening(toy_engine) as live:
        answers = await exchange(live.url, POST + offer + body + get + POST + offer + body + LAST)
    assert statuses(answers) == [200] * 4


async def test_a_body_may_come_in_pieces(toy_engine: AsyncEngine) -> None:
    request = POST + H2C + b"connection: close\r\n" + WITH_LENGTH
    async with listening(toy_engine) as live:
        host, port = live.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for start in range(0, len(request), 7):
            writer.write(request[start : start + 7])
            await asyncio.sleep(0.001)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert statuses(answer) == [200]


async def test_a_body_over_the_limit_is_still_too_large(toy_engine: AsyncEngine) -> None:
    head = POST + H2C + b"content-length: 9999999999\r\n\r\n"
    async with listening(toy_engine) as live:
        answer = await asyncio.wait_for(exchange(live.url, head + b"x"), 20)
    assert statuses(answer)[0] == 413


@pytest.mark.parametrize(
    "framing",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"content-length: 32\r\ncontent-length: 5\r\n\r\n" + BODY,
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused_with_an_offer_too(
    toy_engine: AsyncEngine, framing: bytes
) -> None:
    async with listening(toy_engine) as live:
        answer = await asyncio.wait_for(exchange(live.url, POST + H2C + framing + LAST), 10)
    assert statuses(answer) == [400]
