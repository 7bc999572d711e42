"""Streaming clients that remember what became of their requests."""

import asyncio
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

NUM_TOKENS = 300
BODY = {
    "messages": [{"role": "user", "content": "Tell me a story about a dog named Max."}],
    "max_tokens": NUM_TOKENS,
    "ignore_eos": True,
    "seed": 7,
    "stream": True,
}


@dataclass(slots=True)
class Stream:
    """One request and its answer.

    Attributes:
        started: when the request was sent.
        replica: who answered; "" if none did.
        text: what came.
        is_whole: whether its end was told.
        problem: what the client saw go wrong.
    """

    started: float
    replica: str = ""
    status: int = 0
    text: str = ""
    is_whole: bool = False
    problem: str = ""
    chunk_times: list[float] = field(default_factory=list)


async def read_stream(client: httpx.AsyncClient, **changes: object) -> Stream:
    """Ask once, without trying again."""
    stream = Stream(time.monotonic())
    headers = changes.pop("headers", {})
    try:
        async with client.stream(
            "POST", "/v1/chat/completions", json={**BODY, **changes}, headers=headers
        ) as response:
            stream.replica = response.headers.get("x-tercet-replica", "")
            stream.status = response.status_code
            async for line in response.aiter_lines():
                _read_line(stream, line)
    except httpx.TransportError as error:
        stream.problem = repr(error)
    return stream


def _read_line(stream: Stream, line: str) -> None:
    if line == "data: [DONE]":
        stream.is_whole = True
    elif line.startswith("data: "):
        chunk = json.loads(line.removeprefix("data: "))
        if "error" in chunk:
            stream.problem = str(chunk["error"])
        elif chunk["choices"]:
            stream.text += chunk["choices"][0]["delta"].get("content") or ""
            stream.chunk_times.append(time.monotonic())
    elif line.startswith("{"):
        stream.problem = line


async def many_streams(
    url: str, count: int, num_clients: int, at: dict[int, Callable[[], None]]
) -> list[Stream]:
    """Read `count` streams, `num_clients` at a time; before the n-th begins, call `at[n]`."""
    streams: list[Stream] = []
    numbers = itertools.count()

    async def visit(client: httpx.AsyncClient) -> None:
        while (number := next(numbers)) < count:
            if event := at.get(number):
                event()
            streams.append(await read_stream(client))

    limits = httpx.Limits(max_connections=num_clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        await asyncio.gather(*(visit(client) for _ in range(num_clients)))
    return streams
