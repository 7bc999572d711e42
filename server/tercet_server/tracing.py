"""Where spans go, if anywhere: an OpenTelemetry tracer that exports over OTLP.

The SDK is an extra: without `--otlp-endpoint` nothing here imports it. Spans are sent from a thread
of the SDK's own, whose queue is bounded: where the collector is away they are dropped.
"""

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from tercet_server.settings import InvalidSettings, Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_EXPORT_SECONDS: Final = 5
_TRACES_PATH: Final = "/v1/traces"


def make_tracer_provider(settings: Settings, version: str) -> "TracerProvider | None":
    """What makes spans and sends them; None: the settings want none.

    Raises:
        InvalidSettings: the endpoint is no URL, or the extra is not installed.
    """
    if settings.otlp_endpoint is None:
        return None
    endpoint = traces_url(settings.otlp_endpoint)
    sdk = _import_sdk()
    resource = sdk["Resource"].create({"service.name": "tercet", "service.version": version})
    provider: TracerProvider = sdk["TracerProvider"](resource=resource, shutdown_on_exit=False)
    exporter = sdk["OTLPSpanExporter"](endpoint=endpoint, timeout=_EXPORT_SECONDS)
    provider.add_span_processor(sdk["BatchSpanProcessor"](exporter))
    return provider


def traces_url(endpoint: str) -> str:
    """Where traces are posted to: below a collector's address, or the very path that is given.

    Raises:
        InvalidSettings: it is no address.
    """
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        message = (
            "--otlp-endpoint (TERCET_OTLP_ENDPOINT) must be a URL, such as http://localhost:4318; "
            f"got {endpoint!r}"
        )
        raise InvalidSettings(message)
    path = _TRACES_PATH if parts.path in {"", "/"} else parts.path
    return urlunsplit(parts._replace(path=path))


def _import_sdk() -> dict[str, Any]:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 -- an extra
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        message = (
            "--otlp-endpoint (TERCET_OTLP_ENDPOINT) needs OpenTelemetry, which is not installed: "
            "pip install 'tercet[otel]'"
        )
        raise InvalidSettings(message) from None
    return {
        "OTLPSpanExporter": OTLPSpanExporter,
        "Resource": Resource,
        "TracerProvider": TracerProvider,
        "BatchSpanProcessor": BatchSpanProcessor,
    }
