"""Tercet as a Ray Serve application: replicas over the nodes of a Ray cluster.

    pip install "tercet[ray]"
    serve run tercet_server.ray_serve:build replicas=2 threads=4 model=org/name

A replica is an actor with engines of its own and the whole HTTP application, which Ray calls as
ASGI: streams, errors and every endpoint are those of `tercet serve`. Ray keeps the address, chooses
among replicas and restarts those that die; it cancels the call of a client that hangs up, which
ends the stream and frees its place in the engine.
"""

import asyncio
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, PositiveInt
from ray import serve

from tercet_engine import EngineDraining
from tercet_server.app import close_responses, create_app
from tercet_server.runner import load_from_settings
from tercet_server.served_models import ServedModels
from tercet_server.settings import Settings, load_settings


class Arguments(BaseModel):
    """What may follow `serve run`, or stand under `args` in a Serve config file.

    Attributes:
        model: as `tercet serve` takes it, folders being on every node; None: the embedded model.
        replicas: how many; 0: as many as the requests in progress ask for, up to `max_replicas`.
        max_replicas: with `replicas=0`.
        threads: CPUs of one replica, which Ray sets aside for it.
        settings: any others of `tercet serve`, by their names.
    """

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    replicas: int = 1
    max_replicas: PositiveInt = 4
    threads: PositiveInt = 1
    settings: dict[str, Any] = {}


class Tercet:
    """One replica."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = load_settings(**settings)
        engines = load_from_settings(self._settings, lambda _name: None)
        self._models = ServedModels.of(self._settings, engines)
        self._app: FastAPI | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Ray asks for the application once the replica is made."""
        self._app = create_app(self._settings, self._models)
        return self._app

    def check_health(self) -> None:
        """Ray restarts a replica for which this raises.

        Raises:
            EngineDead: an engine of its has failed.
        """
        try:
            self._models.check_accepting()
        except EngineDraining:
            return

    async def __del__(self) -> None:
        """Ray has waited for the requests in progress, or given up on them."""
        if self._app is not None:
            await close_responses(self._app)
        await asyncio.to_thread(self._models.close)


def build(arguments: Arguments) -> serve.Application:
    """The application for `serve run` and for Serve's config files.

    Raises:
        InvalidSettings: in words, before anything is deployed.
    """
    # Clients call Ray by its names, which are not for a replica to judge.
    elsewhere = {"host": "0.0.0.0"}  # noqa: S104 -- nothing is bound to it
    given = {
        **elsewhere,
        **arguments.settings,
        "model": arguments.model,
        "threads": arguments.threads,
    }
    settings: Settings = load_settings(**given)
    count: dict[str, Any] = (
        {"num_replicas": arguments.replicas}
        if arguments.replicas
        else {
            "autoscaling_config": {
                "min_replicas": 1,
                "max_replicas": arguments.max_replicas,
                # More would wait in the engine's line rather than be computed together.
                "target_ongoing_requests": settings.max_sequences / 2,
            }
        }
    )
    deployment: Any = serve.deployment(serve.ingress()(Tercet))
    return deployment.options(
        ray_actor_options={"num_cpus": arguments.threads},
        # What is beyond is refused by the replica itself, in the form that clients know.
        max_ongoing_requests=settings.max_concurrent_requests,
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=settings.drain_seconds + 5,
        health_check_period_s=5,
        **count,
    ).bind(given)
