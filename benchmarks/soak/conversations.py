"""Responses in all their states: kept, found again, continued, followed, cancelled, forgotten."""

import asyncio
import json
import random
from typing import Any, Final

from benchmarks.soak.tally import Tally
from benchmarks.soak.wire import Connection
from benchmarks.soak.wishes import Body, schema, story

_KIND: Final = "responses"
_BACKGROUND_SECONDS: Final = 90.0
_ENDED: Final = frozenset({"completed", "incomplete", "cancelled"})


class Refused(Exception):
    """429: to be tried later."""


async def converse(connection: Connection, draw: random.Random, tally: Tally) -> None:
    """One conversation from its beginning."""
    talk = Talk(connection, tally)
    try:
        await draw.choice((_kept, _streamed, _background, _cancelled))(talk, draw)
    except Refused:
        await asyncio.sleep(0.5)


class Talk:
    """Calls on one connection, each counted; what is not 200 is a problem or `Refused`."""

    def __init__(self, connection: Connection, tally: Tally) -> None:
        self._connection = connection
        self.tally = tally

    async def call(
        self, method: str, path: str, body: Body | None = None, expected: int = 200
    ) -> Any:
        """The answer's JSON.

        Raises:
            Refused: there was no room.
            ValueError: another status than expected.
        """
        return json.loads(await self.read(method, path, body, expected))

    async def read(
        self, method: str, path: str, body: Body | None = None, expected: int = 200
    ) -> bytes:
        """The same as bytes."""
        answer = await self._connection.ask(method, f"/v1/responses{path}", body)
        self.tally.answered(_KIND, answer.status)
        if answer.status == 429:
            raise Refused
        if answer.status != expected:
            message = f"{answer.status} {answer.body[:200]!r} to {method} {path[:5]}"
            raise ValueError(message)
        return answer.body


async def _kept(talk: Talk, draw: random.Random) -> None:
    first = await talk.call("POST", "", _body(draw))
    if (await talk.call("GET", f"/{first['id']}"))["output"] != first["output"]:
        talk.tally.problem("responses: what was kept is not what was answered")
    body = _body(draw) | {"previous_response_id": first["id"]}
    second = await talk.call("POST", "", body)
    await talk.call("GET", f"/{second['id']}/input_items")
    if draw.random() < 0.5:
        await talk.call("DELETE", f"/{second['id']}")
        await talk.call("GET", f"/{second['id']}", expected=404)


async def _streamed(talk: Talk, draw: random.Random) -> None:
    text = await talk.read("POST", "", _body(draw) | {"stream": True})
    if b"event: response.completed" not in text and b"event: response.incomplete" not in text:
        talk.tally.problem(f"responses: a stream ended with {text[-200:]!r}")


async def _background(talk: Talk, draw: random.Random) -> None:
    begun = await talk.call("POST", "", _body(draw) | {"background": True})
    if draw.random() < 0.5:
        await talk.read("GET", f"/{begun['id']}?stream=true")
    await _ended(talk, begun["id"])


async def _cancelled(talk: Talk, draw: random.Random) -> None:
    begun = await talk.call("POST", "", _body(draw) | {"background": True})
    await asyncio.sleep(draw.uniform(0, 0.3))
    await talk.call("POST", f"/{begun['id']}/cancel")
    await _ended(talk, begun["id"])


async def _ended(talk: Talk, response_id: str) -> None:
    async with asyncio.timeout(_BACKGROUND_SECONDS):
        while (found := await talk.call("GET", f"/{response_id}"))["status"] not in _ENDED:
            if found["status"] == "failed":
                talk.tally.problem(f"responses: one in the background failed: {found['error']}")
                return
            await asyncio.sleep(0.3)


def _body(draw: random.Random) -> Body:
    body: Body = {"input": story(draw), "max_output_tokens": draw.randint(16, 90)}
    if draw.random() < 0.15:
        form = {"type": "json_schema", "name": "x", "schema": schema(draw)}
        body |= {"text": {"format": form}}
    if draw.random() < 0.1:
        body |= {"instructions": "Be brief.", "metadata": {"of": story(draw)}}
    return body
