"""Anthropic's official client, over a real socket, with its retries off."""

import json
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import listening

anthropic = pytest.importorskip("anthropic", reason="the client of Anthropic is not installed")

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "name": "get_weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'


def client_of(url: str, key: str = "key") -> Any:
    return anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0, timeout=30)


@pytest.fixture
async def client(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[Any]:
    engine = toy_engines(max_context=2048, script=f"Let me see. {CALL}")
    async with listening(engine, api_key=["key"]) as live, client_of(live.url) as client:
        yield client


async def test_a_message(client: Any) -> None:
    message = await client.messages.create(
        model="toy", max_tokens=200, messages=HELLO, stop_sequences=["."]
    )
    assert message.content[0].text == "Let me see"
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", ".")
    assert message.usage.output_tokens == 11
    assert message._request_id.startswith("req_")


async def test_every_event_of_a_stream_is_one_that_the_client_knows(client: Any) -> None:
    known = anthropic._models.TypeAdapter(anthropic.types.RawMessageStreamEvent)
    stream = await client.messages.create(
        model="toy", max_tokens=200, messages=HELLO, tools=[WEATHER], stream=True
    )
    async for event in stream:
        known.validate_python(event.to_dict(), strict=True)


async def test_the_stream_helper_adds_up_a_message(client: Any) -> None:
    async with client.messages.stream(
        model="toy", max_tokens=200, messages=HELLO, tools=[WEATHER]
    ) as stream:
        texts = [text async for text in stream.text_stream]
        message = await stream.get_final_message()

    assert "".join(texts) == message.content[0].text == "Let me see."
    assert message.content[1].input == {"city": "Oslo"}
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens > 70


async def test_a_loop_of_tools(client: Any) -> None:
    messages: list[Any] = list(HELLO)
    first = await client.messages.create(
        model="toy", max_tokens=200, messages=messages, tools=[WEATHER]
    )
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "sun"}
        for block in first.content
        if block.type == "tool_use"
    ]
    assert len(results) == 1
    messages += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    second = await client.messages.create(
        model="toy", max_tokens=200, messages=messages, tools=[WEATHER]
    )
    assert second.usage.cache_read_input_tokens > 0
    assert second.content[0].text == "Let me see."


async def test_a_count(client: Any) -> None:
    count = await client.messages.count_tokens(model="toy", messages=HELLO, system="Be brief.")
    assert count.input_tokens == 42


async def test_an_answer_in_the_shape_of_a_model(client: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    message = await client.messages.create(
        model="toy",
        max_tokens=200,
        messages=HELLO,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert set(json.loads(message.content[0].text)) == {"ok"}


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"max_tokens": 0}, "BadRequestError", "max_tokens must be at least 1"),
        ({"model": "x"}, "NotFoundError", "the model 'x' does not exist"),
        ({"messages": [{"role": "user", "content": "x" * 4000}]}, "BadRequestError", "context"),
    ],
)
async def test_what_is_refused_is_an_error_of_the_client(
    client: Any, fields: dict[str, Any], error: str, words: str
) -> None:
    with pytest.raises(getattr(anthropic, error), match=words) as raised:
        await client.messages.create(
            **{"model": "toy", "max_tokens": 8, "messages": HELLO, **fields}
        )
    assert raised.value.request_id.startswith("req_")


async def test_a_wrong_key_is_an_authentication_error(client: Any) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        await client.with_options(api_key="wrong").messages.create(
            model="toy", max_tokens=8, messages=HELLO
        )


async def test_a_full_server_is_a_rate_limit_error(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    async with (
        listening(engine) as live,
        client_of(live.url) as client,
        client._client.stream(
            "POST",
            f"{live.url}/v1/completions",
            json={"prompt": ["a"] * 24, "max_tokens": 1, "stream": True},
        ),
    ):
        with pytest.raises(anthropic.RateLimitError) as raised:
            await client.messages.create(model="toy", max_tokens=8, messages=HELLO)
        gate.set()
    assert float(raised.value.response.headers["retry-after"]) >= 1
