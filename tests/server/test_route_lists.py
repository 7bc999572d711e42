"""What is known of routes is known from one table, and the table knows every route."""

import pytest

from tercet_engine import AsyncEngine
from tercet_server.middleware.concurrency_limit import _is_bounded
from tercet_server.reference.document import OPERATIONS, WORK
from tercet_server.route_names import ROUTE_NAMES
from tests.server.conftest import serving

SERVER = {"/", "/docs", "/health", "/ready", "/metrics", "/openapi.json", "/page/{name}"}


def test_every_operation_is_named_and_every_name_is_one() -> None:
    for _, path in OPERATIONS:
        assert ROUTE_NAMES(path.replace("{", "").replace("}", "")) == path
    for path in SERVER:
        assert ROUTE_NAMES(path.replace("{name}", "chat.js")) == path
    assert ROUTE_NAMES("/elsewhere") is None


async def test_every_path_is_there(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine) as service:
        for path in SERVER - {"/page/{name}"} | {path for _, path in OPERATIONS}:
            response = await service.client.options(path)
            assert response.status_code == 405, path  # 404: there is nothing


def test_what_is_about_the_server_is_not_bounded_and_all_else_is() -> None:
    for path in SERVER:
        assert not _is_bounded(path)
    for _, path in OPERATIONS:
        assert _is_bounded(path) is (path not in SERVER)


@pytest.mark.parametrize(
    "path", sorted({path for (method, path), o in OPERATIONS.items() if o.request})
)
async def test_what_an_engine_works_for_is_marked_so(toy_engine: AsyncEngine, path: str) -> None:
    before = toy_engine.stats().num_prompt_tokens
    async with serving(toy_engine) as service:
        body = next(iter(OPERATIONS["post", path].examples.values()))
        response = await service.client.post(path, json=body)
    assert response.status_code == 200
    assert (toy_engine.stats().num_prompt_tokens > before) is (path in WORK)
