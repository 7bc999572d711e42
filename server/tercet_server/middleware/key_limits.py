"""Holds each key to its limits, and tells its client how far they are used up.

Only who works with the API counts: what is merely looked up costs nothing. A key that is not known
is let through: the application refuses it in its own words.
"""

import time
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tercet_server.errors import RateLimited
from tercet_server.key_ring import KeyRing, given_key
from tercet_server.rate_limits import Meter, Meters
from tercet_server.record import RequestRecord
from tercet_server.responses import error_response

_METHODS_THAT_COUNT: Final = frozenset({"POST"})


class KeyLimits:
    """ASGI middleware. Answers 429 to keys that ask for more than they may."""

    def __init__(
        self, app: ASGIApp, *, ring: KeyRing, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._ring = ring
        self._meters = Meters(clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        key = self._ring.find(given_key(Headers(scope=scope))) if scope["type"] == "http" else None
        if key is None or key.name is None:
            await self._app(scope, receive, send)
            return
        record: RequestRecord = scope["state"]["record"]
        record.key, record.min_priority = key.name, key.priority
        if scope["method"] not in _METHODS_THAT_COUNT:
            await self._app(scope, receive, send)
            return
        await self._metered(self._meters.of(key), record, (scope, receive, send))

    async def _metered(
        self, meter: Meter, record: RequestRecord, call: tuple[Scope, Receive, Send]
    ) -> None:
        scope, receive, send = call

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(meter.headers())
            await send(message)

        try:
            meter.begin()
        except RateLimited as error:
            refusal = error_response(error, record, scope["path"])
            await refusal(scope, receive, send_with_headers)
            return
        record.charge = meter.charge
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            meter.end()
            record.settle()
