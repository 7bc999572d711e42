"""A second, small server that is ended and started again, over and over, with the same store.

Ended by SIGTERM it must finish its streams and leave with status 0; killed, it may break them.
What it said it had kept must be there in its next life, in both cases.
"""

import asyncio
import itertools
import random
import signal
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.soak.conversations import Talk
from benchmarks.soak.seeded import Seeded
from benchmarks.soak.server import SoakedServer
from benchmarks.soak.tally import Tally
from benchmarks.soak.wire import Connection
from benchmarks.soak.wishes import DONE, Body, story

_NUM_REMEMBERED: Final = 20
_NUM_TURNS: Final = 20
"""Of one conversation, which would outgrow the context in the end."""
_NUM_STREAMS: Final = 6
_START_AND_END_SECONDS: Final = 300.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGKILL)


@dataclass(slots=True)
class Lives:
    """What became of it.

    Attributes:
        server: the small one, not started yet.
        seeded: agreed with by every life.
        tally: of its clients, and of all that went wrong.
        ended: how often it ended, by signal.
        found: kept responses that were there in a later life.
    """

    server: SoakedServer
    seeded: Seeded
    tally: Tally
    ended: Counter[str] = field(default_factory=Counter)
    found: int = 0
    _kept: deque[tuple[str, Any]] = field(default_factory=lambda: deque(maxlen=_NUM_REMEMBERED))

    async def go_on(self, every_seconds: float, draw: random.Random) -> None:
        """One life after another until cancelled."""
        try:
            for number in itertools.cycle(_SIGNALS):
                try:
                    async with asyncio.timeout(every_seconds + _START_AND_END_SECONDS):
                        await self.live(number, every_seconds, draw)
                except (OSError, EOFError, ValueError, RuntimeError) as error:
                    self.tally.problem(f"restarts: {error!r}")
                    self.server.kill()
                    await asyncio.sleep(1)
        finally:
            self.server.kill()

    async def live(self, number: signal.Signals, seconds: float, draw: random.Random) -> None:
        """Start it, compare with earlier lives, use it a little, end it under load."""
        await self.server.start()
        connection = Connection(self.server.port)
        talk = Talk(connection, self.tally)
        for response_id, output in self._kept:
            if (await talk.call("GET", f"/{response_id}"))["output"] != output:
                self.tally.problem("restarts: a kept response has changed")
            self.found += 1
        for _ in range(4):
            await self.seeded.ask(connection, draw, self.tally)
        await asyncio.sleep(seconds)
        last = self._kept[-1][0] if self.ended.total() % _NUM_TURNS else None
        body: Body = {"input": story(draw), "max_output_tokens": 20, "previous_response_id": last}
        kept = await talk.call("POST", "", body)
        self._kept.append((kept["id"], kept["output"]))
        connection.leave()
        await self._end_under_load(number, draw)

    async def _end_under_load(self, number: signal.Signals, draw: random.Random) -> None:
        begun = [asyncio.Event() for _ in range(_NUM_STREAMS)]
        streams = [
            asyncio.create_task(_read_stream(self.server.port, story(draw), one)) for one in begun
        ]
        for one in begun:
            await one.wait()
        status = await self.server.end(number)
        texts = await asyncio.gather(*streams, return_exceptions=True)
        self.ended[number.name] += 1
        if number is signal.SIGKILL:
            return
        if status != 0:
            self.tally.problem(f"restarts: status {status} after SIGTERM")
        for text in texts:
            if isinstance(text, BaseException):
                self.tally.problem(f"restarts: a stream broke while draining: {text!r}")
            elif text and DONE not in text:
                self.tally.problem(f"restarts: a stream ended with {text[-200:]!r}")


async def _read_stream(port: int, question: str, has_begun: asyncio.Event) -> bytes:
    """The whole stream; nothing if it was refused. It has begun too if it comes to nothing."""
    connection = Connection(port)
    body = {
        "messages": [{"role": "user", "content": question}],
        "max_completion_tokens": 60,
        "stream": True,
    }
    try:
        head = await connection.begin("POST", "/v1/chat/completions", body)
        pieces = []
        async for piece in head.pieces:
            pieces.append(piece)
            has_begun.set()
        return b"".join(pieces) if head.status == 200 else b""
    finally:
        has_begun.set()
        connection.leave()
