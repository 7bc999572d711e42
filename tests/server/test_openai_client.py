"""The official client, over a real socket, with its retries off."""

import threading
from collections.abc import AsyncIterator, Callable

import openai
import pytest
from openai import AsyncOpenAI

from tercet_engine import AsyncEngine
from tests.server.conftest import listening, until
from tests.server.test_disconnect import Gate

HELLO = [{"role": "user", "content": "hello"}]


def client_of(url: str, key: str = "key") -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=30)


@pytest.fixture
async def client(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[AsyncOpenAI]:
    engine = toy_engines(end_every=0)  # answers as long as they are asked to be
    async with listening(engine, api_key=["key"]) as live, client_of(live.url) as client:
        yield client


async def test_chat(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="toy", messages=HELLO, max_tokens=5)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.system_fingerprint == "tc-0123456789abcdef"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 29
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 0


async def test_the_same_seed_gives_the_same_answer(client: AsyncOpenAI) -> None:
    answers = [
        await client.chat.completions.create(model="toy", messages=HELLO, seed=3, max_tokens=20)
        for _ in range(2)
    ]
    assert answers[0].choices == answers[1].choices


async def test_chat_stream(client: AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model="toy",
        messages=HELLO,
        max_tokens=8,
        n=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    texts = ["", ""]
    for chunk in chunks[:-1]:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""

    assert all(texts)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 16


async def test_the_stream_helper_accumulates_an_answer(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(model="toy", messages=HELLO, stop=["e"]) as stream:
        answer = await stream.get_final_completion()
    assert answer.choices[0].finish_reason == "stop"
    assert "e" not in (answer.choices[0].message.content or "")


async def test_completions(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(model="toy", prompt=["a", "b"], max_tokens=4)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert [len(choice.text) for choice in answer.choices] == [4, 4]


async def test_completion_stream(client: AsyncOpenAI) -> None:
    stream = await client.completions.create(model="toy", prompt=[1, 2], max_tokens=4, stream=True)
    assert len("".join([chunk.choices[0].text async for chunk in stream])) == 4


async def test_models(client: AsyncOpenAI) -> None:
    assert [model.id async for model in client.models.list()] == ["toy"]
    assert (await client.models.retrieve("toy")).owned_by == "tercet"


async def test_a_wrong_key_is_an_authentication_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as raised:
        await client.with_options(api_key="wrong").models.list()
    assert raised.value.code == "invalid_api_key"


async def test_an_unknown_model_is_a_not_found_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        await client.chat.completions.create(model="gpt-4", messages=HELLO)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")


async def test_a_prompt_too_long_is_a_bad_request_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.completions.create(model="toy", prompt="x" * 600)
    assert raised.value.code == "context_length_exceeded"
    assert raised.value.type == "invalid_request_error"
    assert raised.value.request_id is not None


async def test_a_wrong_value_is_a_bad_request_error(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.chat.completions.create(model="toy", messages=HELLO, temperature=3)
    assert raised.value.param == "temperature"
    assert "temperature must be at most 2; got 3" in raised.value.message


async def test_a_full_server_is_a_rate_limit_error(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    async with listening(engine) as live, client_of(live.url) as client:
        stream = await client.completions.create(
            model="toy", prompt=["a"] * 24, max_tokens=1, stream=True
        )
        with pytest.raises(openai.RateLimitError) as raised:
            await client.chat.completions.create(model="toy", messages=HELLO)
        gate.set()
        await stream.close()
    assert float(raised.value.response.headers["retry-after"]) >= 1


async def test_a_server_that_goes_down_in_mid_stream_is_an_api_error(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(end_every=0, before_step=gate)
    async with listening(engine, drain_seconds=0) as live, client_of(live.url) as client:
        stream = await client.chat.completions.create(model="toy", messages=HELLO, stream=True)
        await anext(stream)
        live.server.stop()
        with pytest.raises(openai.APIError, match="shutting down"):
            [chunk async for chunk in stream]
        gate.open()


async def test_request_ids_are_on_answers_and_errors(client: AsyncOpenAI) -> None:
    raw = await client.chat.completions.with_raw_response.create(
        model="toy", messages=HELLO, max_tokens=1, extra_headers={"x-request-id": "mine"}
    )
    assert raw.headers["x-request-id"] == "mine"
    assert raw.parse()._request_id == "mine"


async def test_closing_a_stream_ends_its_computation(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(end_every=0, before_step=gate)
    async with listening(engine) as live, client_of(live.url) as client:
        stream = await client.chat.completions.create(model="toy", messages=HELLO, stream=True)
        await anext(stream)
        await stream.close()
        await until(lambda: not live.server.server_state.tasks)
        gate.open()
        await until(lambda: engine.stats().num_aborted == 1)
