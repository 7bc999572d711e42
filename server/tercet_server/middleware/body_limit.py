"""Refuses bodies that are too large, whether they say so beforehand or not, and too slow ones.

The application reads a body when it wants it, after it has looked at the key, so a stranger's body
is not even held. A client that is still sending does not read: what it sends is thrown away for a
while before it is answered, else it would see a broken connection in place of the reason.
"""

import asyncio
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tercet_server.errors import BodyTooLarge, BodyTooSlow

MAX_BODY_SECONDS: Final = 60.0
_MAX_DISCARDED_BYTES: Final = 64 * 2**20
_MAX_DISCARD_SECONDS: Final = 10.0


class BodyLimit:
    """ASGI middleware. Raises `BodyTooLarge` and `BodyTooSlow` where the body is being read."""

    def __init__(
        self, app: ASGIApp, *, max_bytes: int, max_seconds: float = MAX_BODY_SECONDS
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            receive = _BoundedBody(
                receive, Headers(scope=scope), self._max_bytes, self._max_seconds
            )
        await self._app(scope, receive, send)


class _BoundedBody:
    """The `receive` of one request. Once the body is read it only passes on that a client left."""

    def __init__(
        self, receive: Receive, headers: Headers, max_bytes: int, max_seconds: float
    ) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._max_seconds = max_seconds
        self._awaits_permission = headers.get("expect", "").lower() == "100-continue"
        length = headers.get("content-length", "")
        self._declared = int(length) if length.isascii() and length.isdigit() else None
        self._num_bytes = 0
        self._deadline: float | None = None
        self._is_complete = False

    async def __call__(self) -> Message:
        if self._is_complete:
            return await self._receive()
        if self._declared is not None and self._declared > self._max_bytes:
            await self._refuse(self._declared)
        message = await self._receive_in_time()
        self._num_bytes += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        if self._num_bytes > self._max_bytes:
            await self._refuse(None)
        return message

    async def _receive_in_time(self) -> Message:
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + self._max_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._receive()
        except TimeoutError:
            raise BodyTooSlow(self._max_seconds) from None

    async def _refuse(self, declared: int | None) -> None:
        if not self._awaits_permission:
            await self._discard()
        raise BodyTooLarge(self._max_bytes, declared)

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
