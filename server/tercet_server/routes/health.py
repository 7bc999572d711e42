"""GET /health, /ready and /metrics: for those who run the server, so without a key.

/health fails only where a restart would help. /ready fails whenever another server should be asked:
while the model is loaded, while this one shuts down. Neither waits for the engine.
"""

from contextlib import suppress

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, Response

from tercet_engine import EngineDraining
from tercet_server.dependencies import LifecycleDep
from tercet_server.errors import ServerLoading

router = APIRouter()


@router.get("/health", response_model=None)
async def health(lifecycle: LifecycleDep) -> Response:
    """Whether the process is sound."""
    with suppress(ServerLoading, EngineDraining):
        lifecycle.check_ready()
    return JSONResponse({"status": "ok"})


@router.get("/ready", response_model=None)
async def ready(lifecycle: LifecycleDep) -> Response:
    """Whether a request would be taken."""
    lifecycle.check_ready()
    return JSONResponse({"status": "ready"})


@router.get("/metrics", response_model=None)
async def metrics(request: Request) -> Response:
    """The engine's numbers in Prometheus' text form."""
    text = generate_latest(request.app.state.metrics.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)
