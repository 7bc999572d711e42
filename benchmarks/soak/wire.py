"""HTTP by hand: one connection of one client, cheap enough that the server is what is busy.

A connection is kept while both sides want it; leaving in the midst of an answer closes it.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

_LIMIT_BYTES: Final = 1 << 22
KEY: Final = "sk-soak"
"""Of clients without limits."""
LIMITED_KEY: Final = "sk-limited"
"""Of clients that are often sent away."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole one."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """How an answer begins; `pieces` is its body as it comes."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


class Connection:
    """To one server, opened when it is needed."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request and read all of its answer."""
        head = await self.begin(method, path, body, headers)
        return Answer(head.status, head.headers, b"".join([piece async for piece in head.pieces]))

    async def begin(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Head:
        """Send a request and read the head of its answer.

        Args:
            method: of HTTP.
            path: with its query.
            body: bytes as they are, None for none; anything else as JSON.
            headers: beside or instead of the usual ones.
        """
        reader, writer = await self._open()
        content = body if isinstance(body, bytes) else b"" if body is None else _json(body)
        fields = {
            "host": "localhost",
            "authorization": f"Bearer {KEY}",
            "content-type": "application/json",
            "content-length": str(len(content)),
            **(headers or {}),
        }
        lines = [f"{method} {path} HTTP/1.1", *(f"{key}: {fields[key]}" for key in fields)]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
        return await self._head(reader)

    async def _head(self, reader: asyncio.StreamReader) -> Head:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        answered = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:] if line)
        }
        return Head(int(lines[0].split()[1]), answered, self._pieces(reader, answered))

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            opened = asyncio.open_connection("127.0.0.1", self.port, limit=_LIMIT_BYTES)
            self._streams = await opened
        return self._streams

    async def _pieces(
        self, reader: asyncio.StreamReader, headers: Mapping[str, str]
    ) -> AsyncIterator[bytes]:
        if "content-length" in headers:
            yield await reader.readexactly(int(headers["content-length"]))
        else:
            while size := int(await reader.readline(), 16):
                yield (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        if headers.get("connection") == "close":
            self.leave()

    def leave(self) -> None:
        """Hang up; the next request opens another connection."""
        if self._streams is not None:
            with contextlib.suppress(OSError):
                self._streams[1].close()
            self._streams = None


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
