"""HEAD: what GET would say, without saying it."""

import pytest

from tests.server.conftest import Service


@pytest.mark.parametrize(
    "path", ["/", "/page/page.css", "/health", "/ready", "/v1/models", "/v1/models/toy", "/nowhere"]
)
async def test_head_is_get_without_the_body(service: Service, path: str) -> None:
    told = await service.client.get(path)
    asked = await service.client.head(path)

    assert told.content
    assert asked.content == b""
    assert asked.status_code == told.status_code
    changing = {"date", "x-request-id", "openai-processing-ms"}
    assert {k: v for k, v in asked.headers.items() if k not in changing} == {
        k: v for k, v in told.headers.items() if k not in changing
    }


async def test_head_of_the_metrics(service: Service) -> None:
    response = await service.client.head("/metrics")
    assert (response.status_code, response.content) == (200, b"")


async def test_what_is_only_posted_to_has_no_head(service: Service) -> None:
    response = await service.client.head("/v1/chat/completions")
    assert (response.status_code, response.content) == (405, b"")
    assert response.headers["allow"] == "POST"


async def test_the_log_says_head(service: Service) -> None:
    await service.client.head("/v1/models")
    (line,) = service.log_lines()
    assert (line["method"], line["status"]) == ("HEAD", 200)
