"""The document of the API says what the server does, for every route that there is."""

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.protocol.completions import CompletionRequest
from tercet_server.protocol.responses.request import CreateResponse
from tercet_server.reference.document import OPERATIONS
from tercet_server.reference.fields import FIELDS
from tests.server.conftest import Service, serving

EXAMPLES = [
    pytest.param(path, name, id=f"{path} {name}")
    for (_, path), operation in OPERATIONS.items()
    for name in operation.examples
]


@pytest.fixture
async def roomy(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[Service]:
    """A server whose context has room for tools: each character is a token here."""
    async with serving(toy_engines(max_context=2048)) as service:
        yield service


async def document_of(service: Service) -> dict[str, Any]:
    response = await service.client.get("/openapi.json")
    assert response.status_code == 200
    return dict(response.json())


def references_in(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(name := part.get("$ref"), str):
            yield name
        for value in part.values():
            yield from references_in(value)
    elif isinstance(part, list):
        for value in part:
            yield from references_in(value)


def pieces_of(stream: str) -> list[Any]:
    """The JSON of every event, or of every line where there are no events."""
    lines = [line.removeprefix("data: ") for line in stream.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


async def test_every_route_is_in_it_and_nothing_else(service: Service) -> None:
    paths = (await document_of(service))["paths"]
    assert {(method, path) for path in paths for method in paths[path]} == set(OPERATIONS)


async def test_every_operation_that_takes_a_body_has_an_example() -> None:
    wrong = [k for k, o in OPERATIONS.items() if bool(o.request) != bool(o.examples)]
    assert wrong == []


@pytest.mark.parametrize(("path", "name"), EXAMPLES)
async def test_the_server_answers_every_example_as_it_says(
    roomy: Service, path: str, name: str
) -> None:
    operation = OPERATIONS["post", path]
    response = await roomy.client.post(path, json=operation.examples[name])
    assert response.status_code == 200, response.text
    if response.headers["content-type"] != "application/json":
        pieces = pieces_of(response.text)
        assert pieces
        for piece in pieces:
            kinds = [kind for kind in operation.pieces if fits(kind, piece)]
            assert kinds, piece
    else:
        assert operation.answer is not None
        operation.answer.model_validate_json(response.content)


def fits(kind: Any, piece: Any) -> bool:
    try:
        kind.model_validate(piece)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "path", [path for (method, path), o in OPERATIONS.items() if method == "get" and o.answer]
)
async def test_what_can_be_asked_without_a_body_is_answered_as_it_says(
    service: Service, path: str
) -> None:
    created = (await service.client.post("/v1/responses", json={"input": "hello"})).json()
    url = path.format(name="toy", response_id=created["id"])
    answer = OPERATIONS["get", path].answer
    assert answer is not None
    answer.model_validate_json((await service.client.get(url)).content)


async def test_a_response_is_forgotten_as_it_says(service: Service) -> None:
    created = (await service.client.post("/v1/responses", json={"input": "hello"})).json()
    answer = OPERATIONS["delete", "/v1/responses/{response_id}"].answer
    assert answer is not None
    response = await service.client.delete(f"/v1/responses/{created['id']}")
    answer.model_validate_json(response.content)


async def test_every_reference_leads_somewhere(service: Service) -> None:
    document = await document_of(service)
    names = {name.removeprefix("#/components/schemas/") for name in references_in(document)}
    assert names
    assert names <= set(document["components"]["schemas"])


@pytest.mark.parametrize("model", [ChatCompletionRequest, CompletionRequest, CreateResponse])
async def test_every_field_of_a_request_is_described(service: Service, model: Any) -> None:
    schema = (await document_of(service))["components"]["schemas"][model.__name__]
    assert [name for name, part in schema["properties"].items() if "description" not in part] == []


def test_no_field_is_described_that_no_request_has() -> None:
    requests = [operation.request for operation in OPERATIONS.values() if operation.request]
    assert set(FIELDS) <= {name for request in requests for name in request.model_fields}


async def test_bounds_are_those_that_the_server_keeps(service: Service) -> None:
    schemas = (await document_of(service))["components"]["schemas"]
    bounds = schemas["ChatCompletionRequest"]["properties"]["temperature"]["anyOf"][0]
    for temperature in (bounds["minimum"], bounds["maximum"]):
        assert (await service.chat(temperature=temperature, max_tokens=1)).status_code == 200
    assert (await service.chat(temperature=bounds["maximum"] + 0.1)).status_code == 400


async def test_a_stop_may_be_one_text_or_a_list(service: Service) -> None:
    schemas = (await document_of(service))["components"]["schemas"]
    forms = schemas["CompletionRequest"]["properties"]["stop"]["anyOf"]
    assert [form["type"] for form in forms] == ["string", "array", "null"]


async def test_errors_are_in_it_with_their_statuses_and_codes(service: Service) -> None:
    document = await document_of(service)
    responses = document["paths"]["/v1/chat/completions"]["post"]["responses"]
    assert {"400", "401", "404", "413", "429", "503"} <= set(responses)
    assert "model_not_found" in responses["404"]["description"]
    error = (await service.chat(model="other")).json()
    example = responses["404"]["content"]["application/json"]["example"]
    assert set(example["error"]) == set(error["error"])


async def test_it_needs_neither_key_nor_model() -> None:
    async with serving(api_key=["secret"]) as service:
        assert (await document_of(service))["info"]["title"] == "Tercet"


async def test_the_page_that_shows_it_is_made_of_this_servers_files(service: Service) -> None:
    page = await service.client.get("/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
    names = re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)
    assert len(names) == 5
    for name in names:
        assert (await service.client.get(f"/{name}")).status_code == 200


async def test_without_pages_there_is_still_the_document(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, page=False) as service:
        assert (await service.client.get("/docs")).status_code == 404
        assert "/v1/models" in (await document_of(service))["paths"]


async def test_the_page_is_known_by_its_tag_and_by_no_other_name(service: Service) -> None:
    tag = (await service.client.get("/docs")).headers["etag"]
    again = await service.client.get("/docs", headers={"if-none-match": tag})
    assert again.status_code == 304
    assert (await service.client.get("/page/docs.html")).status_code == 404
