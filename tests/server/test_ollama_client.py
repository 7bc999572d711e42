"""Ollama's official client, over a real socket."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import listening

ollama = pytest.importorskip("ollama", reason="the client of Ollama is not installed")

HELLO = [{"role": "user", "content": "hello"}]
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'


def get_weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where.
    """
    return f"sun in {city}"


@pytest.fixture
async def client(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[Any]:
    engine = toy_engines(max_context=2048, script=f"Let me see. {CALL}")
    async with listening(engine, api_key=["key"]) as live:
        client = ollama.AsyncClient(live.url, headers={"authorization": "Bearer key"}, timeout=30)
        async with client:
            yield client


async def test_chat_whole_and_streamed(client: Any) -> None:
    options = {"stop": ["."], "temperature": 0.5}
    whole = await client.chat("toy", HELLO, options=options)
    lines = [line async for line in await client.chat("toy", HELLO, options=options, stream=True)]

    assert whole.message.content == "Let me see"
    assert "".join(line.message.content for line in lines) == "Let me see"
    assert (lines[-1].done, lines[-1].done_reason, lines[-1].eval_count) == (True, "stop", 11)


async def test_generate_whole_and_streamed(client: Any) -> None:
    whole = await client.generate("toy:latest", "hello", options={"num_predict": 6})
    stream = await client.generate("toy", "hello", options={"num_predict": 6}, stream=True)
    assert whole.response == "Let me"
    assert "".join([line.response async for line in stream]) == "Let me"


async def test_a_loop_of_tools(client: Any) -> None:
    messages: list[Any] = list(HELLO)
    first = await client.chat("toy", messages, tools=[get_weather])
    [call] = first.message.tool_calls
    result = get_weather(**call.function.arguments)
    messages += [
        first.message,
        {"role": "tool", "tool_name": call.function.name, "content": result},
    ]
    second = await client.chat("toy", messages, tools=[get_weather])

    assert result == "sun in Oslo"
    assert second.prompt_eval_count > first.prompt_eval_count


async def test_a_format(client: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    whole = await client.chat("toy", HELLO, format=schema)
    assert set(json.loads(whole.message.content)) == {"ok"}


async def test_embeddings(client: Any) -> None:
    found = await client.embed("toy", ["hello", "good day"])
    alone = await client.embed("toy:latest", "hello")
    older = await client.embeddings("toy", "hello")

    assert len(found.embeddings) == 2
    assert found.embeddings[0] == alone.embeddings[0] == older.embedding
    assert found.prompt_eval_count == 6 + 9


async def test_the_models(client: Any) -> None:
    [listed] = (await client.list()).models
    [running] = (await client.ps()).models
    shown = await client.show(listed.model)

    assert listed.model == running.model == "toy:latest"
    assert listed.modified_at.timestamp() == 1_700_000_000
    assert running.context_length == 2048
    assert "tools" in shown.capabilities


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda client: client.chat("x", HELLO), 404),
        (lambda client: client.show("x"), 404),
        (lambda client: client.generate("toy", "a", template="b"), 400),
        (lambda client: client.pull("toy"), 400),
        (lambda client: client.push("toy"), 400),
        (lambda client: client.create("toy", from_="x"), 400),
        (lambda client: client.copy("toy", "x"), 400),
        (lambda client: client.delete("toy"), 400),
    ],
)
async def test_what_is_refused_is_an_error_of_the_client(
    client: Any, call: Callable[[Any], Any], status: int
) -> None:
    with pytest.raises(ollama.ResponseError) as raised:
        await call(client)
    assert raised.value.status_code == status
    assert raised.value.error


async def test_a_wrong_key_is_refused(client: Any) -> None:
    async with ollama.AsyncClient(str(client._client.base_url)) as stranger:
        with pytest.raises(ollama.ResponseError, match="no API key was given"):
            await stranger.list()
