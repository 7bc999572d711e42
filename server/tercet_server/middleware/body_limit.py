"""Refuses bodies that are too large, whether they say so beforehand or not, and too slow ones.

The application reads a body when it wants it, after it has looked at the key, so a stranger's body
is not even held. All that are held at once are bounded too, else many, none of them too large,
would get the process killed where memory is scarce. A client that is still sending does not read:
what it sends is thrown away for a while before it is answered, else it would see a broken
connection in place of the reason.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tercet_server.errors import BodyTooLarge, BodyTooSlow, ServerError, TooManyRequests

MAX_BODY_SECONDS: Final = 60.0
BODIES_HELD: Final = 8
"""So many of the largest bodies are held at once, or as many bytes of smaller ones."""
_SHARE_OF_SMALL: Final = 64
"""Bodies up to this part of the largest are always taken, so that few clients cannot shut out all:
how many requests there may be bounds them."""
_MAX_DISCARDED_BYTES: Final = 64 * 2**20
_MAX_DISCARD_SECONDS: Final = 10.0


class BodyLimit:
    """ASGI middleware. Raises where the body is being read.

    Raises:
        BodyTooLarge, BodyTooSlow: see their words.
        TooManyRequests: the bodies of all requests in progress would be too much.
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_seconds: float = MAX_BODY_SECONDS
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._held = _HeldBytes(BODIES_HELD * max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _BoundedBody(receive, headers, self._max_bytes, self._max_seconds, self._held)
        try:
            await self._app(scope, body, send)
        finally:
            body.let_go()


@dataclass(slots=True)
class _HeldBytes:
    """How much of all bodies is, or is about to be, in memory."""

    max_bytes: int
    num_bytes: int = 0


class _BoundedBody:
    """The `receive` of one request. Once the body is read it only passes on that a client left."""

    def __init__(
        self,
        receive: Receive,
        headers: Headers,
        max_bytes: int,
        max_seconds: float,
        held: _HeldBytes,
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._held = held
        self._awaits_permission = headers.get("expect", "").lower() == "100-continue"
        length = headers.get("content-length", "")
        self._declared = int(length) if length.isascii() and length.isdigit() else None
        self._num_bytes = 0
        self._num_held = 0
        self._deadline: float | None = None
        self._is_complete = False

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        if self._deadline is None and self._declared is not None:
            await self._announce(self._declared)
        message = await self._receive_in_time()
        num_bytes = len(message.get("body", b""))
        self._num_bytes += num_bytes
        self._is_complete = not message.get("more_body", False)
        if self._num_bytes > self._max_bytes:
            await self._refuse(BodyTooLarge(self._max_bytes, None))
        if self._declared is None:
            await self._hold(num_bytes)
        return message

    def let_go(self) -> None:
        """The request is over."""
        self._held.num_bytes -= self._num_held
        self._num_held = 0

    async def _announce(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            await self._refuse(BodyTooLarge(self._max_bytes, num_bytes))
        await self._hold(num_bytes)

    async def _hold(self, num_bytes: int) -> None:
        is_full = self._held.num_bytes + num_bytes > self._held.max_bytes
        if is_full and self._num_held + num_bytes > self._max_bytes // _SHARE_OF_SMALL:
            await self._refuse(TooManyRequests(self._held.max_bytes, "bytes of requests"))
        self._num_held += num_bytes
        self._held.num_bytes += num_bytes

    async def _receive_in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + self._max_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(self._max_seconds) from None

    async def _refuse(self, error: ServerError) -> None:
        if not self._awaits_permission:
            await self._discard()
        raise error

    async def _discard(self) -> None:
        num_discarded = 0
        try:
            async with asyncio.timeout(_MAX_DISCARD_SECONDS):
                while not self._is_complete and num_discarded <= _MAX_DISCARDED_BYTES:
                    message = await self._receive()
                    num_discarded += len(message.get("body", b""))
                    self._is_complete = not message.get("more_body", False)
        except TimeoutError:
            return
