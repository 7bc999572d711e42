"""Puts the server together. Everything is passed in, so a test's server is the real one."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from tercet_engine import AsyncEngine, EngineError
from tercet_server.body import IgnoredFields
from tercet_server.dependencies import check_api_key
from tercet_server.errors import ServerError
from tercet_server.key_ring import KeyRing
from tercet_server.lifecycle import Lifecycle
from tercet_server.logs import Logger, make_logger
from tercet_server.metrics import Metrics
from tercet_server.middleware.body_limit import BodyLimit
from tercet_server.middleware.concurrency_limit import ConcurrencyLimit
from tercet_server.middleware.head import Head
from tercet_server.middleware.host_check import HostCheck, checked_names
from tercet_server.middleware.key_limits import KeyLimits
from tercet_server.middleware.line_limit import LineLimit
from tercet_server.middleware.request_log import RequestLog
from tercet_server.middleware.tracing import Tracing
from tercet_server.responses import answer_error
from tercet_server.routes import (
    chat,
    completions,
    decisions,
    embeddings,
    health,
    messages,
    models,
    ollama,
    page,
    responses,
    tokenize,
)
from tercet_server.routes.reference import document_router, reference_router
from tercet_server.served_models import ServedModels
from tercet_server.services.responses.runs import Runs
from tercet_server.settings import Settings
from tercet_server.static_page import read_page
from tercet_server.store_file import open_store
from tercet_server.tracing import make_tracer_provider
from tercet_server.version import package_version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_EXPOSED_HEADERS: Final = [
    *("x-request-id", "request-id", "openai-processing-ms"),
    *("retry-after", "retry-after-ms", "x-should-retry"),
    *(
        f"x-ratelimit-{what}-{kind}"
        for what in ("limit", "remaining", "reset")
        for kind in ("requests", "tokens")
    ),
]


def create_app(
    settings: Settings,
    served: ServedModels | None,
    *,
    logger: Logger | None = None,
    tracer_provider: "TracerProvider | None" = None,
) -> FastAPI:
    """The server as an ASGI application.

    Args:
        settings: of the server.
        served: which whoever made them closes; None: still being loaded, to be announced to
            `app.state.lifecycle.loaded`.
        logger: where its lines go; None: as the settings say.
        tracer_provider: makes spans; None: as the settings say.

    Returns:
        The application. Whoever made it must wait for `close_responses` in the end.

    Raises:
        InvalidSettings: the file for responses, or of keys, cannot be opened or is wrong; spans
            cannot be sent.
    """
    logger = logger or make_logger(settings)
    lifecycle = Lifecycle(served)
    keys = KeyRing.of(settings)
    names = checked_names(settings)
    traces = tracer_provider or make_tracer_provider(settings, package_version())

    def engines() -> Mapping[str, AsyncEngine]:
        return _engines(lifecycle)

    metrics = Metrics(engines, for_gateways=settings.gateway_metrics)
    app = FastAPI(
        title="Tercet",
        openapi_url=None,  # bodies are read by the protocol's models, and so is the document made
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(
            (ServerError, EngineError, HTTPException, RequestValidationError), answer_error
        ),
        middleware=[
            Middleware(RequestLog, logger=logger, metrics=metrics),
            *([Middleware(Tracing, tracer=traces.get_tracer("tercet"))] if traces else []),
            Middleware(Head),
            *([Middleware(HostCheck, names=names)] if names is not None else []),
            *_cross_origin_rules(settings),
            *([Middleware(KeyLimits, ring=keys)] if settings.api_keys_file else []),
            Middleware(LineLimit, engines=engines, ring=keys),
            Middleware(ConcurrencyLimit, max_requests=settings.max_concurrent_requests),
            Middleware(BodyLimit, max_bytes=settings.max_body_bytes),
        ],
    )
    app.state.settings = settings
    app.state.lifecycle = lifecycle
    app.state.logger = logger
    app.state.keys = keys
    app.state.traces = traces
    app.state.metrics = metrics
    app.state.ignored_fields = IgnoredFields(logger)
    app.state.response_store = open_store(settings)
    app.state.response_runs = Runs(settings.background_responses, logger)
    has_key = [Depends(check_api_key)]
    for resource in (
        *(chat, completions, decisions, embeddings),
        *(messages, models, responses, tokenize),
    ):
        app.include_router(resource.router, prefix="/v1", dependencies=has_key)
    app.include_router(tokenize.counts, prefix="/v1", dependencies=has_key)
    app.include_router(tokenize.router, dependencies=has_key)
    app.include_router(ollama.router, prefix="/api", dependencies=has_key)
    app.include_router(health.router)
    app.state.document = None
    app.include_router(document_router)
    if settings.page:
        app.state.page = read_page()
        app.include_router(page.router)
        app.include_router(reference_router)
    return app


async def close_responses(app: FastAPI) -> None:
    """Give up the responses that nobody waits for, and close the file of those that are kept.

    The last spans are sent.
    """
    await app.state.response_runs.end()
    if app.state.response_store is not None:
        await asyncio.to_thread(app.state.response_store.close)
    if app.state.traces is not None:
        await asyncio.to_thread(app.state.traces.shutdown)


def _engines(lifecycle: Lifecycle) -> Mapping[str, AsyncEngine]:
    """The engines there are, by the names that their models go by."""
    if lifecycle.is_loading:
        return {}
    return {model.name: model.engine for model in lifecycle.models}


def _cross_origin_rules(settings: Settings) -> list[Middleware]:
    if not settings.cors_origin:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origin,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=_EXPOSED_HEADERS,
        )
    ]
