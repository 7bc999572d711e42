"""One span for each request, by OpenTelemetry's conventions for servers and for generative models.

It goes on a trace that the client began (`traceparent`). What is told is what the log tells: names
and numbers, nothing of a prompt or an answer.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tercet_server.record import RequestRecord
from tercet_server.reference.document import WORK
from tercet_server.route_names import ROUTE_NAMES

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

_PROVIDER: Final = "tercet"
_FIRST_TOKEN: Final = "gen_ai.first_token"  # noqa: S105 -- an event
_UNTRACED: Final = frozenset({"/health", "/ready", "/metrics", "/page/{name}"})


class Tracing:
    """ASGI middleware. Must be within the one that makes the record."""

    def __init__(self, app: ASGIApp, *, tracer: "Tracer") -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 -- an extra
            TraceContextTextMapPropagator,
        )

        self._app = app
        self._tracer = tracer
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        route = ROUTE_NAMES(scope["path"]) if scope["type"] == "http" else None
        if scope["type"] != "http" or route in _UNTRACED:
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, format_trace_id  # noqa: PLC0415 -- an extra

        record: RequestRecord = scope["state"]["record"]
        context = self._propagator.extract(dict(Headers(scope=scope)))
        span = self._tracer.start_span(
            f"{scope['method']} {route or 'other'}", context=context, kind=SpanKind.SERVER
        )
        record.trace_id = format_trace_id(span.get_span_context().trace_id)
        begun = time.time_ns()
        status: int | None = None

        async def send_and_see(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        except Exception as error:
            record.error_code = record.error_code or type(error).__name__
            raise
        finally:
            _describe(span, _Exchange(scope["method"], route, status), record, begun)
            span.end()


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What HTTP saw of a request. `status` is None where nothing was answered."""

    method: str
    route: str | None
    status: int | None


def _describe(span: "Span", seen: _Exchange, record: RequestRecord, begun: int) -> None:
    from opentelemetry.trace import StatusCode  # noqa: PLC0415 -- an extra

    operation = WORK.get(seen.route or "") if seen.method == "POST" else None
    if operation and record.model:
        span.update_name(f"{operation} {record.model}")
    span.set_attributes(dict(_attributes(seen, record, operation)))
    if (seconds := record.seconds_to_first_token) is not None:
        span.add_event(
            _FIRST_TOKEN,
            {"gen_ai.server.time_to_first_token": seconds},
            timestamp=begun + round(seconds * 1e9),
        )
    if record.error_code and (seen.status in {None, 200} or (seen.status or 0) >= 500):
        span.set_status(StatusCode.ERROR, record.error_code)


def _attributes(
    seen: _Exchange, record: RequestRecord, operation: str | None
) -> Iterator[tuple[str, Any]]:
    """What is known; nothing is said of what is not."""
    known: dict[str, Any] = {
        "http.request.method": seen.method,
        "http.route": seen.route,
        "http.response.status_code": seen.status,
        "error.type": record.error_code,
        "tercet.request_id": record.request_id,
        "tercet.key": record.key,
        "tercet.queue_seconds": record.queue_seconds,
    }
    if operation:
        known |= {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": _PROVIDER,
            "gen_ai.request.model": record.model,
            "gen_ai.response.model": record.model,
            "gen_ai.request.seed": record.seed,
            "gen_ai.request.choice.count": record.num_choices,
            "gen_ai.response.finish_reasons": record.finish_reasons or None,
            "gen_ai.usage.input_tokens": record.num_prompt_tokens,
            "gen_ai.usage.output_tokens": record.num_generated_tokens,
            "gen_ai.usage.cache_read.input_tokens": record.num_cached_tokens,
        }
    for name, value in known.items():
        if value is not None:
            yield name, value
