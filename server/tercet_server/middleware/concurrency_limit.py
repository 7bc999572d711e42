"""Refuses what is more than the server can have in its hands at once.

The engine bounds what waits to be computed; this bounds what is still being read and tokenised.
Probes and metrics always get through: a busy server is not a sick one.
"""

from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tercet_server.errors import TooManyRequests
from tercet_server.reference.document import OPERATIONS
from tercet_server.responses import error_response

_BOUNDED_PREFIXES: Final = ("/v1/", "/api/")
_BOUNDED_PATHS: Final = frozenset(path for (_, path), o in OPERATIONS.items() if o.is_bounded)


class ConcurrencyLimit:
    """ASGI middleware. Answers 429 while `max_requests` to the API are in progress."""

    def __init__(self, app: ASGIApp, *, max_requests: int) -> None:
        self._app = app
        self._max_requests = max_requests
        self._num_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        if scope["type"] != "http" or not _is_bounded(scope["path"]):
            await self._app(scope, receive, send)
            return
        if self._num_requests >= self._max_requests:
            refusal = error_response(
                TooManyRequests(self._max_requests), scope["state"]["record"], scope["path"]
            )
            await refusal(scope, receive, send)
            return
        self._num_requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._num_requests -= 1


def _is_bounded(path: str) -> bool:
    return path in _BOUNDED_PATHS or path.startswith(_BOUNDED_PREFIXES)
