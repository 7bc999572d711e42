"""uvicorn's HTTP protocol with bounds on the head of a request, and our form for its refusals.

httptools parses a request's head however long it is and waits for it however long it takes. Here it
may have 64 KiB, 128 headers and 30 s, and `held_heads.py` bounds all heads together. What is not
HTTP at all gets an error in the shape that clients expect, and so does a connection too many. An
answer that is still being written is finished before a request behind it is refused. A client that
leaves gives up all that it has asked for, where uvicorn would go on with the first of several
requests and then trip over the closed connection.

A connection always waits for something that has an end: for a head, for an answer, for its client
to read (`write_watch.py`), for the rest of a body that was not wanted, or for the next request.
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
from tercet_server.held_heads import HeadsOfConnection, HeldHeads
from tercet_server.plain_parser import PlainParser
from tercet_server.responses import HEADERS_OF_ALL
from tercet_server.write_watch import WriteWatch

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEAD_SECONDS: Final = 30.0
MAX_REST_SECONDS: Final = 30.0
"""For what is left of a body, once its request has been answered without it."""
_SLICE_BYTES: Final = 4096
"""What is parsed at once: the parser does not tell where in it one request gives way to another."""


class _Refused(Exception):
    """Ends the parsing of what has come."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        args, kwargs: uvicorn's.
        max_connections: which may be open at once; one more is told to come back.
        held: what the heads on all connections take.
    """

    def __init__(
        self, *args: Any, max_connections: int, held: HeldHeads | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.parser = PlainParser(self)  # type: ignore[assignment] # has what uvicorn uses
        self._max_connections = max_connections
        self._heads = HeadsOfConnection(held or HeldHeads())
        self._watch: WriteWatch | None = None
        self._fault: ServerError | None = None
        self._num_head_bytes = 0
        self._num_requests_read = 0
        self._is_reading_head = True
        self._head_timer: asyncio.TimerHandle | None = None
        self._postponed: ServerError | None = None
        self._unanswered: deque[RequestResponseCycle] = deque()

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch = WriteWatch(self.loop, transport)
        self._await_head()
        if len(self.connections) > self._max_connections:
            self._refuse(TooManyConnections(self._max_connections))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        if self._watch:
            self._watch.end()
        self._heads.close()
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
        self._stop_at(self._heads.begin())

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        self._stop_at(self._heads.add_header())
        super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        self._is_reading_head = False
        self._heads.complete()
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
        self._heads.answered()
        super().on_response_complete()
        if self._postponed and not self._is_answering:
            self._refuse(self._postponed)
        elif self.transport.is_closing():
            self._close()
        elif not self._is_reading_head and self.cycle.response_complete:
            self._wait_for(MAX_REST_SECONDS)

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        if self._watch:
            self._watch.begin()

    @override
    def resume_writing(self) -> None:
        super().resume_writing()
        if self._watch and not self.transport.is_closing():
            self._watch.end()  # the client has read; what comes next may be as much again

    @override
    def timeout_keep_alive_handler(self) -> None:
        self._close()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(self._fault or InvalidHttp())

    @property
    def _is_answering(self) -> bool:
        """Whether a request that was read to its end is still to be answered."""
        if not self._is_reading_head or self.cycle is None:
            return False
        return not self.cycle.response_complete

    def _parse(self, data: bytes) -> None:
        num_requests = self._num_requests_read
        super().data_received(data)
        if self.transport.is_closing() or self._postponed or not self._is_reading_head:
            return
        if self._num_requests_read == num_requests:
            self._num_head_bytes += len(data)
            if self._num_head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(MAX_HEAD_BYTES))
            elif error := self._heads.add_bytes(len(data)):
                self._refuse(error)
        if self._head_timer is None and not self._is_answering:
            self._wait_for(MAX_HEAD_SECONDS)  # blanks, or the end of a body that was not wanted

    def _stop_at(self, error: ServerError | None) -> None:
        if error:
            self._fault = error
            raise _Refused

    def _await_head(self) -> None:
        self._num_head_bytes = 0
        self._is_reading_head = True
        self._wait_for(MAX_HEAD_SECONDS)

    def _wait_for(self, seconds: float) -> None:
        self._stop_head_timer()
        self._head_timer = self.loop.call_later(seconds, self._give_up)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        if self._is_answering:
            self.cycle.keep_alive = False  # ends the connection once it is answered
        else:
            self._close()

    def _close(self) -> None:
        """Send what is written already, as long as the client reads it."""
        self.transport.close()
        if self._watch:
            self._watch.begin()

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
            **HEADERS_OF_ALL,
            **reply.headers,
            "connection": "close",
        }
        lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self._close()
