"""uvicorn's HTTP protocol with bounds on the head of a request, and our form for its refusals.

httptools parses a request's head however long it is and waits for it however long it takes. Here it
may have 64 KiB and 30 s. What is not HTTP at all gets an error in the shape that clients expect.
"""

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Any, Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tercet_server.errors import (
    HeadTooLarge,
    InvalidHttp,
    ServerError,
    TooManyConnections,
    reply_to,
)

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEAD_SECONDS: Final = 30.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._num_head_bytes = 0
        self._is_reading_head = True
        self._head_timer: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if self.limit_concurrency and len(self.connections) >= self.limit_concurrency:
            self._refuse(TooManyConnections(self.limit_concurrency))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_reading_head and not self.transport.is_closing():
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(MAX_HEAD_BYTES))

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    @override
    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._is_reading_head = False
        super().on_headers_complete()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidHttp())

    def _await_head(self) -> None:
        self._stop_head_timer()
        self._num_head_bytes = 0
        self._is_reading_head = True
        self._head_timer = self.loop.call_later(MAX_HEAD_SECONDS, self._give_up)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: ServerError) -> None:
        """Answer and close; there is no request that the application could answer."""
        reply = reply_to(error)
        body = json.dumps(reply.body).encode()
        headers = {
            "content-type": "application/json",
            "content-length": len(body),
            "x-request-id": f"req_{uuid.uuid4().hex}",
            **reply.headers,
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()
