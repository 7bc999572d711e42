"""What a web page from elsewhere can make a browser do to a server on the same host."""

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import CHAT, Service, serving

KNOWN = ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "::1", "10.0.0.7", "box:80"]
OWN = [
    "a.localhost",
    "Localhost.",
    "host.docker.internal:8000",
    "box.local",
    "nas.home.arpa",
    "a.test",
]
STRANGE = [
    "local.evil.example",
    "evil-local.example",
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "LOCALHOST.evil.example.",
]


@pytest.mark.parametrize("host", [*KNOWN, *OWN, ""])
async def test_a_server_without_keys_on_the_loopback_is_called_by_its_own_names(
    service: Service, host: str
) -> None:
    response = await service.client.get("/v1/models", headers={"host": host})
    assert response.status_code == 200


@pytest.mark.parametrize("host", STRANGE)
@pytest.mark.parametrize("path", ["/", "/v1/models", "/api/tags", "/metrics", "/nowhere"])
async def test_and_not_by_that_of_a_page_that_leads_to_it(
    service: Service, host: str, path: str
) -> None:
    response = await service.client.get(path, headers={"host": host})
    assert response.status_code == 403
    assert "--allowed-host" in response.text
    if path.startswith("/v1"):
        assert response.json()["error"]["code"] == "unknown_host"


async def test_a_host_may_be_called_by_its_own_name(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Box.Corp.example")
    async with serving(toy_engine) as service:
        for host, status in (("box.corp.example:8000", 200), ("corp.example", 403)):
            response = await service.client.get("/v1/models", headers={"host": host})
            assert response.status_code == status


async def test_one_of_two_names_is_enough_to_be_refused(service: Service) -> None:
    headers = [("host", "localhost"), ("host", "evil.example")]
    assert (await service.client.get("/v1/models", headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "fields",
    [
        {"host": "0.0.0.0"},
        {"api_key": ["secret"]},
        {"allowed_host": ["llm.example"]},
        {"allowed_host": ["a.example", "LLM.example.:443"]},
        {"allowed_host": ["*"]},
        {"cors_origin": ["https://llm.example"]},
    ],
)
async def test_a_name_may_be_given(toy_engine: AsyncEngine, fields: dict[str, object]) -> None:
    headers = {"host": "LLM.example:443", "authorization": "Bearer secret"}
    async with serving(toy_engine, **fields) as service:
        assert (await service.client.get("/v1/models", headers=headers)).status_code == 200


async def test_given_names_hold_for_servers_on_a_network_too(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, host="0.0.0.0", allowed_host=["llm.example"]) as service:
        for host, status in (("llm.example", 200), ("10.1.2.3:8000", 200), ("evil.example", 403)):
            response = await service.client.get("/v1/models", headers={"host": host})
            assert response.status_code == status


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/responses", "/api/chat", "/tokenize"]
)
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", None])
async def test_a_form_of_a_page_elsewhere_is_not_read(
    service: Service, path: str, media_type: str | None
) -> None:
    headers = {"origin": "https://evil.example"}
    if media_type:
        headers["content-type"] = media_type
    response = await service.client.post(path, content=b"{}", headers=headers)
    assert response.status_code == 415


async def test_a_page_elsewhere_may_neither_ask_nor_read(service: Service) -> None:
    asking = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    preflight = await service.client.options("/v1/chat/completions", headers=asking)
    answer = await service.client.post(
        "/v1/chat/completions", json={**CHAT, "max_tokens": 1}, headers={"origin": "null"}
    )
    for response in (preflight, answer):
        assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("path", "caching"),
    [
        *(("/", "no-store"), ("/v1/models", "no-store"), ("/nowhere", "no-store")),
        *(("/health", "no-store"), ("/metrics", "no-store"), ("/openapi.json", None)),
        *(("/docs", "no-cache"), ("/page/page.css", "no-cache")),
    ],
)
async def test_every_answer_says_how_it_may_be_used(
    service: Service, path: str, caching: str | None
) -> None:
    response = await service.client.get(path)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert caching is None or response.headers["cache-control"] == caching
    assert "server" not in response.headers


async def test_answers_of_models_are_not_kept_by_caches(service: Service) -> None:
    for stream in (False, True):
        response = await service.chat(max_tokens=1, stream=stream)
        assert "no-store" in response.headers["cache-control"]
        assert response.headers["x-content-type-options"] == "nosniff"
