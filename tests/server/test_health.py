"""What probes are told, over the server's life."""

import asyncio
import threading
from collections.abc import Callable

from tercet_engine import AsyncEngine, EngineConfig
from tercet_server.served_models import ServedModels
from tests.server.conftest import Service, serving, settings_of, until


async def statuses(service: Service) -> tuple[int, int]:
    health = await service.client.get("/health")
    ready = await service.client.get("/ready")
    return health.status_code, ready.status_code


async def test_a_serving_server_is_sound_and_ready(service: Service) -> None:
    assert await statuses(service) == (200, 200)


async def test_a_loading_server_is_sound_but_not_ready(toy_engine: AsyncEngine) -> None:
    async with serving() as service:
        assert await statuses(service) == (200, 503)
        refused = await service.chat()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "loading"
        assert refused.headers["retry-after"] == "2"

        service.app.state.lifecycle.loaded(ServedModels.of(settings_of(), [toy_engine]))
        assert await statuses(service) == (200, 200)


async def test_a_draining_server_is_sound_but_not_ready(
    service: Service, toy_engine: AsyncEngine
) -> None:
    await toy_engine.drain(0)
    assert await statuses(service) == (200, 503)
    assert (await service.chat()).json()["error"]["code"] == "shutting_down"


async def test_a_dead_engine_is_neither(toy_engines: Callable[..., AsyncEngine]) -> None:
    def die() -> None:
        raise MemoryError

    async with serving(toy_engines(before_step=die)) as service:
        answer = await service.chat()
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "engine_dead"
        assert await statuses(service) == (503, 503)


async def test_a_full_waiting_line_is_no_reason_to_ask_another_server(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    config = EngineConfig(max_batch_tokens=64, max_sequences=8, max_waiting_tokens=50)
    engine = toy_engines(config, before_step=lambda: gate.wait(20))
    async with serving(engine) as service:
        waiting = asyncio.create_task(service.complete(prompt="a" * 100, max_tokens=1))
        await until(lambda: engine.stats().num_running + engine.stats().num_waiting > 0)
        refused = await service.complete(max_tokens=1)
        found = await statuses(service)
        gate.set()

        assert refused.status_code == 429
        assert found == (200, 200)
        assert (await waiting).status_code == 200


async def test_head_will_do_for_a_probe(service: Service) -> None:
    response = await service.client.head("/health")
    assert response.status_code == 200


async def test_metrics_count_tokens_and_answers(service: Service) -> None:
    await service.chat(max_tokens=3)
    text = (await service.client.get("/metrics")).text
    assert 'tercet_generated_tokens_total{model="toy"} 3.0' in text
    assert 'tercet_completions_running{model="toy"} 0.0' in text
    assert 'route="/v1/chat/completions",status="200"} 1.0' in text
    assert 'kernels="toy"' in text


async def test_metrics_are_there_before_the_engine_is() -> None:
    async with serving() as service:
        response = await service.client.get("/metrics")
    assert response.status_code == 200
