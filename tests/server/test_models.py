"""GET /v1/models."""

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving

CARD = {
    "id": "toy",
    "object": "model",
    "created": 1_700_000_000,
    "owned_by": "tercet",
    "max_model_len": 512,
}


async def test_the_model_is_listed_under_its_own_name(service: Service) -> None:
    response = await service.client.get("/v1/models")
    assert response.json() == {"object": "list", "data": [CARD]}


async def test_a_model_can_be_looked_up(service: Service) -> None:
    assert (await service.client.get("/v1/models/toy")).json() == CARD


@pytest.mark.parametrize("name", ["org/name", "org%2Fname"])
async def test_a_name_may_hold_slashes(toy_engine: AsyncEngine, name: str) -> None:
    async with serving(toy_engine, served_model_name=["org/name"]) as service:
        response = await service.client.get(f"/v1/models/{name}")
    assert response.json()["id"] == "org/name"


async def test_a_model_that_is_not_served_is_a_404(service: Service) -> None:
    response = await service.client.get("/v1/models/gpt-4")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


async def test_names_given_at_start_replace_the_models_own(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, served_model_name=["a", "b"]) as service:
        names = [card["id"] for card in (await service.client.get("/v1/models")).json()["data"]]
        by_alias = await service.chat(model="b", max_tokens=1)
        by_its_own = await service.chat(model="toy", max_tokens=1)
        by_none = await service.chat(max_tokens=1)

    assert names == ["a", "b"]
    assert by_alias.json()["model"] == "b"
    assert by_its_own.status_code == 404
    assert by_none.json()["model"] == "a"
