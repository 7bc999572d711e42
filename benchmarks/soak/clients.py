"""Clients that never rest: each asks, reads or leaves, and asks again until told to stop."""

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from typing import Final

from benchmarks.soak.malformed import draw_malformed
from benchmarks.soak.tally import LEFT, Tally
from benchmarks.soak.wire import Connection
from benchmarks.soak.wishes import Wish, draw_wish

ANSWER_SECONDS: Final = 120.0
"""A server that has not answered by then has forgotten its client."""
_MAX_PAUSE_SECONDS: Final = 0.5
_MALFORMED_SHARE: Final = 0.06
_LEAVING_SHARE: Final = 0.15

Deed = Callable[[Connection, random.Random, Tally], Awaitable[None]]
"""What a client does once, on its connection."""


async def client(deed: Deed, port: int, seed: int, tally: Tally, stop: asyncio.Event) -> None:
    """Do the same over and over. What goes wrong is a problem, and the client goes on."""
    draw = random.Random(seed)
    connection = Connection(port)
    try:
        while not stop.is_set():
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await deed(connection, draw, tally)
            except TimeoutError:
                tally.problem(f"{deed.__name__}: no answer within {ANSWER_SECONDS:g} s")
            except (OSError, EOFError, ValueError) as error:
                tally.problem(f"{deed.__name__}: {error!r}")
            else:
                continue
            connection.leave()
            await asyncio.sleep(_MAX_PAUSE_SECONDS)
    finally:
        connection.leave()


async def ordinary(connection: Connection, draw: random.Random, tally: Tally) -> None:
    """Mostly sound requests; some of their clients leave, some requests are malformed."""
    if draw.random() < _MALFORMED_SHARE:
        await _send_malformed(connection, draw, tally)
        return
    wish = draw_wish(draw)
    leaving = draw.random() < _LEAVING_SHARE
    if leaving and not wish.end:
        await _leave_unanswered(connection, wish, draw, tally)
    else:
        await _read(connection, wish, draw.randint(0, 30) if leaving else None, tally)


async def _read(
    connection: Connection,
    wish: Wish,
    patience: int | None,
    tally: Tally,
) -> None:
    """Read an answer to its end, or leave after `patience` pieces."""
    method = "GET" if wish.body is None else "POST"
    head = await connection.begin(method, wish.path, wish.body, wish.headers)
    pieces: list[bytes] = []
    async with contextlib.aclosing(head.pieces) as coming:  # type: ignore[type-var] # it is one
        async for piece in coming:
            pieces.append(piece)
            if patience is not None and len(pieces) > patience and head.status == 200:
                connection.leave()
                tally.answered(wish.kind, LEFT)
                return
    tally.answered(wish.kind, head.status)
    if head.status == 429:
        await asyncio.sleep(min(float(head.headers["retry-after"]), _MAX_PAUSE_SECONDS))
    elif head.status != 200:
        tally.problem(f"{wish.kind}: {head.status} {b''.join(pieces)[:200]!r} to {_shown(wish)}")
    elif wish.end and wish.end not in b"".join(pieces):
        tally.problem(f"{wish.kind}: a stream ended with {b''.join(pieces)[-200:]!r}")
    elif not wish.end and "json" in head.headers["content-type"]:
        json.loads(b"".join(pieces))


async def _leave_unanswered(
    connection: Connection, wish: Wish, draw: random.Random, tally: Tally
) -> None:
    method = "GET" if wish.body is None else "POST"
    asked = asyncio.ensure_future(connection.ask(method, wish.path, wish.body, wish.headers))
    await asyncio.wait({asked}, timeout=draw.uniform(0, 0.3))
    connection.leave()
    tally.answered(wish.kind, LEFT)
    asked.cancel()
    with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
        await asked


async def _send_malformed(connection: Connection, draw: random.Random, tally: Tally) -> None:
    request = draw_malformed(draw)
    answer = await connection.ask(request.method, request.path, request.body, request.headers)
    tally.answered("malformed", answer.status)
    if answer.status not in {*request.allowed, 429}:
        found = f"{answer.status} {answer.body[:120]!r}"
        tally.problem(
            f"malformed: {found} to {request.method} {request.path} {request.body[:80]!r}"
        )


def _shown(wish: Wish) -> str:
    return f"{wish.path} {json.dumps(wish.body)[:300]}"
