"""The outermost layer: gives each request its id, answers what nobody else did, logs one line.

The id is the client's own x-request-id where that is harmless, else a new one. It is in every
answer, next to the time taken until the answer began. The line is written when the answer has
ended, and holds no prompt, no answer and no message of an error.
"""

import re
import time
import uuid
from collections.abc import Callable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tercet_server.dialects import dialect_of
from tercet_server.errors import reply_to
from tercet_server.logs import Logger
from tercet_server.metrics import Metrics
from tercet_server.record import RequestRecord
from tercet_server.responses import HEADERS_OF_ALL, error_response
from tercet_server.route_names import ROUTE_NAMES
from tercet_server.sse import ClientStalled

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MAX_PATH_CHARS: Final = 120
_CLIENT_LEFT_STATUS: Final = 499
_CLIENT_LEFT_CODES: Final = frozenset({"client_left", "client_stalled"})
_QUIET_PATHS: Final = frozenset({"/health", "/ready", "/metrics"})
_QUIET_PREFIX: Final = "/page/"


class RequestLog:
    """ASGI middleware. Puts the request's `RequestRecord` into `scope["state"]["record"]`."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        logger: Logger,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._logger = logger
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record = RequestRecord(_request_id(Headers(scope=scope)), self._clock())
        scope.setdefault("state", {})["record"] = record
        self._metrics.begin()
        status: int | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                milliseconds = round((self._clock() - record.started_seconds) * 1000)
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = record.request_id
                headers[dialect_of(scope["path"]).request_id_header] = record.request_id
                headers["openai-processing-ms"] = str(milliseconds)
                for name, value in HEADERS_OF_ALL.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientStalled:
            record.error_code = "client_stalled"
        except Exception as error:
            record.error_code = reply_to(error).code
            self._logger.exception("request_failed", request_id=record.request_id)
            if status is not None:
                raise  # too late to say so; the server cuts the connection
            refusal = error_response(error, record, scope["path"])
            await refusal(scope, receive, send_with_headers)
        finally:
            self._write_line(scope, record, status)

    def _write_line(self, scope: Scope, record: RequestRecord, status: int | None) -> None:
        seconds = self._clock() - record.started_seconds
        route = ROUTE_NAMES(scope["path"])
        final = status or _CLIENT_LEFT_STATUS
        if final == _CLIENT_LEFT_STATUS or record.error_code in _CLIENT_LEFT_CODES:
            record.client_left = True
        self._metrics.end(route, final, record.error_code, seconds)
        path: str = scope["path"]
        is_quiet = path in _QUIET_PATHS or path.startswith(_QUIET_PREFIX)
        log = self._logger.debug if is_quiet else self._logger.info
        log(
            "request",
            method=scope["method"],
            path=_printable(path),
            route=route,
            status=final,
            seconds=round(seconds, 4),
            **record.fields(),
        )


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


def _printable(path: str) -> str:
    """A path as it may stand in a log: short, on one line, without control characters."""
    return path[:_MAX_PATH_CHARS].encode("unicode_escape").decode("ascii")
