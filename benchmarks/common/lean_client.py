"""An HTTP client that costs next to nothing, for loads that would else measure their clients.

It speaks as much HTTP as one server of ours answers: a POST of JSON over a connection that is kept,
an answer in chunks or of a given length. Connections are used again, the latest first.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_READ_BYTES = 1 << 16


@dataclass(slots=True)
class Reply:
    """The head of an answer; `pieces` is its body as it comes, chunked or not."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


@dataclass(slots=True)
class LeanClient:
    """Connections to one server."""

    host: str
    port: int
    _idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _, writer in self._idle:
            writer.close()

    async def post(self, path: str, body: object) -> Reply:
        """Send a request and read the head of its answer; its pieces must be read to their end."""
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection(self.host, self.port)
        )
        content = json.dumps(body).encode()
        writer.write(
            f"POST {path} HTTP/1.1\r\nhost: {self.host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:] if line)
        }
        return Reply(int(head[0].split()[1]), headers, self._pieces(reader, writer, headers))

    async def _pieces(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        headers: Mapping[str, str],
    ) -> AsyncIterator[bytes]:
        if "content-length" in headers:
            yield await reader.readexactly(int(headers["content-length"]))
        else:
            end = b""
            while end != b"\r\n0\r\n\r\n":
                piece = await reader.read(_READ_BYTES)
                if not piece:
                    message = "the connection was closed in the midst of an answer"
                    raise ConnectionError(message)
                end = (end + piece)[-7:]
                yield piece
        if headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
