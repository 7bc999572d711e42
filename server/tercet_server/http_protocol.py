"""uvicorn's HTTP protocol with bounds on the head of a request, and our form for its refusals.

httptools parses a request's head however long it is and waits for it however long it takes. Here it
may have 64 KiB and 30 s. What is not HTTP at all gets an error in the shape that clients expect,
and so does a connection too many. An answer that is still being written is finished before a
request behind it is refused. A client that leaves gives up all that it has asked for, where uvicorn
would go on with the first of several requests and then trip over the closed connection.
"""

import asyncio
import json
import uuid
from collections import deque
from http import HTTPStatus
from typing import Any, Final

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tercet_server.dialects import OPENAI
from tercet_server.errors import (
    HeadTooLarge,
    InvalidHttp,
    ServerError,
    TooManyConnections,
    reply_to,
)

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEAD_SECONDS: Final = 30.0
_SLICE_BYTES: Final = 4096
"""What is parsed at once: the parser does not tell where in it one request gives way to another."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        args, kwargs: uvicorn's.
        max_connections: which may be open at once; one more is told to come back.
    """

    def __init__(self, *args: Any, max_connections: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_connections = max_connections
        self._num_head_bytes = 0
        self._num_requests_read = 0
        self._is_reading_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._postponed: ServerError | None = None
        self._unanswered: deque[RequestResponseCycle] = deque()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()
        if len(self.connections) > self._max_connections:
            self._refuse(TooManyConnections(self._max_connections))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()

    @override
    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _SLICE_BYTES):
            if self.transport.is_closing() or self._postponed:
                return  # nothing more is read
            self._parse(data[start : start + _SLICE_BYTES])

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()

    @override
    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._is_reading_head = False
        super().on_headers_complete()
        self._unanswered.append(self.cycle)

    @override
    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._num_requests_read += 1
        self._num_head_bytes = 0
        self._is_reading_head = True

    @override
    def on_response_complete(self) -> None:
        self._unanswered.popleft()  # answers are in order
        super().on_response_complete()
        if self._postponed and not self._is_answering:
            self._refuse(self._postponed)

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidHttp())

    @property
    def _is_answering(self) -> bool:
        """Whether a request that was read to its end is still to be answered."""
        if not self._is_reading_head or self.cycle is None:
            return False
        return not self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        num_requests = self._num_requests_read
        super().data_received(data)
        is_of_one_head = self._is_reading_head and self._num_requests_read == num_requests
        if is_of_one_head and not self.transport.is_closing():
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(MAX_HEAD_BYTES))

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
        if self._is_answering:
            self.cycle.keep_alive = False  # ends the connection once it is answered
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, error: ServerError) -> None:
        """Answer and close; there is no request that the application could answer."""
        if self._is_answering:
            self._stop_head_timer()
            self._postponed = error
            return
        if self.transport.is_closing():
            return
        reply = reply_to(error)
        body = json.dumps(OPENAI.error_body(reply)).encode()
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
