"""Spans, read back from memory; and where they are sent."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tercet_engine import AsyncEngine
from tercet_server.app import close_responses, create_app
from tercet_server.served_models import ServedModels
from tercet_server.settings import InvalidSettings
from tercet_server.tracing import make_tracer_provider, traces_url
from tests.server.conftest import CHAT, settings_of

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """A server whose spans end in memory."""

    def __init__(self, client: httpx.AsyncClient, spans: InMemorySpanExporter) -> None:
        self.client = client
        self._spans = spans

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.client.post(path, json=body, headers=headers)

    def spans(self) -> list[Any]:
        return list(self._spans.get_finished_spans())


@pytest.fixture
async def traced(toy_engine: AsyncEngine) -> AsyncIterator[Traced]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    app = create_app(
        settings_of(log_level="error"),
        ServedModels.of(settings_of(), [toy_engine]),
        tracer_provider=provider,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://test"
    ) as client:
        yield Traced(client, exporter)
    await close_responses(app)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_is_one_span_with_names_and_numbers(traced: Traced, stream: bool) -> None:
    body = {**CHAT, "max_tokens": 3, "seed": 7, "stream": stream}
    response = await traced.post("/v1/chat/completions", body)
    (span,) = traced.spans()

    assert span.name == "chat toy"
    assert span.kind is SpanKind.SERVER
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "tercet.request_id": response.headers["x-request-id"],
        "tercet.queue_seconds": span.attributes["tercet.queue_seconds"],
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "tercet",
        "gen_ai.request.model": "toy",
        "gen_ai.response.model": "toy",
        "gen_ai.request.seed": 7,
        "gen_ai.request.choice.count": 1,
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 24,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 0,
    }
    (event,) = span.events
    assert event.name == "gen_ai.first_token"
    assert span.start_time <= event.timestamp <= span.end_time + 10**7
    assert span.status.status_code is StatusCode.UNSET


async def test_a_trace_of_the_clients_goes_on(traced: Traced) -> None:
    await traced.post("/v1/completions", {"prompt": "a", "max_tokens": 1}, traceparent=TRACEPARENT)
    await traced.post("/v1/embeddings", {"input": "a"}, traceparent="nonsense")
    first, second = traced.spans()

    assert first.name == "text_completion toy"
    assert f"{first.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{first.parent.span_id:016x}" == "b7ad6b7169203331"
    assert second.name == "embeddings toy"
    assert second.parent is None


async def test_nothing_of_a_prompt_or_an_answer_is_told(traced: Traced) -> None:
    messages = [{"role": "user", "content": "xyzzy"}]
    await traced.post("/v1/chat/completions", {"messages": messages, "max_tokens": 5})
    await traced.post("/v1/chat/completions", {"messages": messages, "model": "xyzzy"})
    await traced.client.get("/v1/xyzzy")
    assert "xyzzy" not in "".join(span.to_json() for span in traced.spans())


async def test_a_refusal_is_named(traced: Traced) -> None:
    await traced.post("/v1/chat/completions", {**CHAT, "n": 99})
    await traced.client.get("/nowhere")
    first, second = traced.spans()

    assert first.name == "POST /v1/chat/completions"
    assert first.attributes["error.type"] == "invalid_request"
    assert first.status.status_code is StatusCode.UNSET  # the client's fault, not the server's
    assert second.name == "GET other"
    assert second.attributes["http.response.status_code"] == 404


async def test_probes_are_not_traced(traced: Traced) -> None:
    await traced.client.get("/health")
    await traced.client.get("/metrics")
    assert traced.spans() == []


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://c.example/", "https://c.example/v1/traces"),
        ("http://c.example/own/path", "http://c.example/own/path"),
    ],
)
def test_the_endpoint_may_be_the_collectors_address(endpoint: str, url: str) -> None:
    assert traces_url(endpoint) == url


@pytest.mark.parametrize("endpoint", ["localhost:4318", "ftp://a", "http://"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(InvalidSettings, match="must be a URL, such as http://localhost:4318"):
        make_tracer_provider(settings_of(otlp_endpoint=endpoint), "1")


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(InvalidSettings, match=r"pip install 'tercet\[otel\]'"):
        make_tracer_provider(settings_of(otlp_endpoint="http://localhost:4318"), "1")


def test_without_the_flag_there_are_no_spans() -> None:
    assert make_tracer_provider(settings_of(), "1") is None


async def test_spans_are_posted_to_the_collector(toy_engine: AsyncEngine) -> None:
    posted: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            posted.append((self.path, body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{collector.server_port}"
            settings = settings_of(log_level="error", otlp_endpoint=endpoint)
            app = create_app(settings, ServedModels.of(settings, [toy_engine]))
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                await client.post("/v1/chat/completions", json={**CHAT, "max_tokens": 1})
            await close_responses(app)
        finally:
            await asyncio.to_thread(collector.shutdown)
            thread.join()

    ((path, body),) = posted
    assert path == "/v1/traces"
    assert b"chat toy" in body
    assert b"service.name" in body
