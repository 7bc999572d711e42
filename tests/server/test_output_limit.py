"""How long an answer may be at most, where the server says so."""

from collections.abc import AsyncIterator

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving


@pytest.fixture
async def short(toy_engine: AsyncEngine) -> AsyncIterator[Service]:
    async with serving(toy_engine, max_output_tokens=8) as service:
        yield service


async def test_more_than_the_server_gives_is_refused(short: Service) -> None:
    refused = await short.chat(max_tokens=9)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "max_tokens"
    message = refused.json()["error"]["message"]
    assert message == "max_tokens must be at most 8 on this server; got 9"
    assert (await short.chat(max_tokens=8)).status_code == 200


async def test_the_refusal_names_the_field_that_was_sent(short: Service) -> None:
    refused = await short.chat(max_completion_tokens=9)
    assert refused.json()["error"]["param"] == "max_completion_tokens"
    assert refused.json()["error"]["message"].startswith("max_completion_tokens must be at most 8")
    refused = await short.respond(input="a", max_output_tokens=17)
    assert refused.json()["error"]["param"] == "max_output_tokens"


async def test_whoever_does_not_ask_gets_as_much_as_there_is(short: Service) -> None:
    for answer in (
        await short.chat(ignore_eos=True),
        await short.complete(ignore_eos=True),
    ):
        assert answer.json()["usage"]["completion_tokens"] == 8
        assert answer.json()["choices"][0]["finish_reason"] == "length"


async def test_the_context_is_the_limit_where_it_is_nearer(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, max_output_tokens=100_000) as service:
        answer = (await service.chat(ignore_eos=True)).json()
    assert answer["usage"]["total_tokens"] == 512
