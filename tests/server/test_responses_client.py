"""/v1/responses by the official client, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel, Field

from tercet_engine import AsyncEngine, EngineConfig, load_engine
from tests.server.conftest import listening, until
from tests.server.test_disconnect import Gate
from tests.server.test_openai_client import client_of
from tests.server.test_responses_stream import CALL, TOOL


class Animal(BaseModel):
    kind: Literal["cat", "dog"]
    legs: int = Field(ge=0, le=8)


@pytest.fixture
async def client(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[AsyncOpenAI]:
    engine = toy_engines(max_context=2048, end_every=0)
    async with listening(engine, api_key=["key"]) as live, client_of(live.url) as client:
        yield client


@pytest.fixture
async def embedded() -> AsyncIterator[AsyncOpenAI]:
    """A client of the model inside the package."""
    engine = load_engine(None, EngineConfig(num_threads=1))
    async with listening(engine) as live, client_of(live.url) as client:
        yield client


async def test_create_retrieve_delete(client: AsyncOpenAI) -> None:
    response = await client.responses.create(model="toy", input="hello", max_output_tokens=5)
    assert response.output_text
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"

    found = await client.responses.retrieve(response.id)
    assert found.output_text == response.output_text
    items = [item async for item in client.responses.input_items.list(response.id)]
    assert [item.type for item in items] == ["message"]
    await client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(response.id)


async def test_tokens_are_counted_as_a_response_would_have_them(client: AsyncOpenAI) -> None:
    first = await client.responses.create(input="one", max_output_tokens=5)
    asked: Any = {
        "input": "two",
        "instructions": "be short",
        "previous_response_id": first.id,
        "tools": [TOOL],
    }
    counted = await client.responses.input_tokens.count(**asked)
    answered = await client.responses.create(**asked, max_output_tokens=1)
    assert answered.usage is not None
    assert counted.input_tokens == answered.usage.input_tokens


async def test_input_items_are_read_page_by_page(client: AsyncOpenAI) -> None:
    spoken: Any = [{"role": "user", "content": str(number)} for number in range(7)]
    response = await client.responses.create(input=spoken, max_output_tokens=1)
    pages = client.responses.input_items.list(response.id, limit=3, order="asc")
    texts = [item.content[0].text async for item in pages]  # type: ignore[union-attr]
    assert texts == [str(number) for number in range(7)]


async def test_a_chain_of_responses(client: AsyncOpenAI) -> None:
    previous, lengths = None, []
    for text in ("one", "two", "three"):
        response = await client.responses.create(
            input=text, previous_response_id=previous, max_output_tokens=5
        )
        assert response.usage is not None
        lengths.append(response.usage.input_tokens)
        previous = response.id
    assert lengths == sorted(set(lengths))


async def test_the_stream_helper_accumulates_a_response(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    engine = toy_engines(end_every=20)
    async with (
        listening(engine) as live,
        client_of(live.url) as client,
        client.responses.stream(model="toy", input="hello", temperature=0) as stream,
    ):
        texts = [e.delta async for e in stream if e.type == "response.output_text.delta"]
        response = await stream.get_final_response()
    assert "".join(texts) == response.output_text
    assert response.status == "completed"


async def test_a_tool_loop(toy_engines: Callable[..., AsyncEngine]) -> None:
    tool: Any = TOOL
    engine = toy_engines(max_context=4096, script=CALL)
    async with listening(engine) as live, client_of(live.url) as client:
        asked = await client.responses.create(model="toy", input="look up", tools=[tool])
        call = asked.output[0]
        assert call.type == "function_call"
        assert json.loads(call.arguments) == {"where": "up"}
        result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "sky"}
        told = await client.responses.create(
            model="toy", input=[result], tools=[tool], previous_response_id=asked.id
        )
        by_hand = await client.responses.create(
            model="toy",
            input=[{"role": "user", "content": "look up"}, call.to_dict(), result],
            tools=[tool],
        )
    assert told.usage is not None
    assert by_hand.usage is not None
    assert told.usage.input_tokens == by_hand.usage.input_tokens > 0


async def test_the_stream_helper_accumulates_a_call(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    tool: Any = TOOL
    engine = toy_engines(max_context=4096, script=CALL)
    async with (
        listening(engine) as live,
        client_of(live.url) as client,
        client.responses.stream(model="toy", input="look", tools=[tool]) as stream,
    ):
        response = await stream.get_final_response()
    assert [item.type for item in response.output] == ["function_call"]


@pytest.mark.parametrize("seed", [1, 2])
async def test_parse_gives_an_object_of_the_class_that_was_asked_for(
    embedded: AsyncOpenAI, seed: int
) -> None:
    response = await embedded.responses.parse(
        input="Tell me of an animal.", text_format=Animal, extra_body={"seed": seed}
    )
    assert isinstance(response.output_parsed, Animal)


async def test_required_tools_are_called_whatever_the_model_knows(embedded: AsyncOpenAI) -> None:
    tool: Any = {**TOOL, "name": "make", "parameters": Animal.model_json_schema(), "strict": True}
    response = await embedded.responses.create(
        input="Make one.", tools=[tool], tool_choice="required", parallel_tool_calls=False
    )
    call = response.output[-1]
    assert call.type == "function_call"
    Animal.model_validate_json(call.arguments)


async def test_background_and_cancel(toy_engines: Callable[..., AsyncEngine]) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(end_every=0, before_step=gate)
    async with listening(engine) as live, client_of(live.url) as client:
        begun = await client.responses.create(model="toy", input="hello", background=True)
        assert begun.status in {"queued", "in_progress"}
        cancelled = await client.responses.cancel(begun.id)
        gate.open()
        assert cancelled.status == "cancelled"
        await until(lambda: engine.stats().num_aborted == 1)


async def test_who_leaves_a_background_stream_can_come_back(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    gate = Gate(steps=2)
    engine = toy_engines(end_every=0, before_step=gate)
    async with listening(engine) as live, client_of(live.url) as client:
        stream = await client.responses.create(
            input="hello", background=True, stream=True, max_output_tokens=20, temperature=0
        )
        first = await anext(stream)
        assert first.type == "response.created"
        await stream.close()
        rest = await client.responses.retrieve(
            first.response.id, stream=True, starting_after=first.sequence_number
        )
        gate.open()
        events = [event async for event in rest]
    assert [event.sequence_number for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "response.incomplete"
    assert len(events[-1].response.output_text) == 20


async def test_a_drain_ends_what_goes_on_in_the_background(
    toy_engines: Callable[..., AsyncEngine], tmp_path: Path
) -> None:
    gate, path = Gate(steps=2), tmp_path / "responses.db"
    engine = toy_engines(end_every=0, before_step=gate)
    async with listening(engine, drain_seconds=0, store_path=path) as live:
        async with client_of(live.url) as client:
            begun = await client.responses.create(input="hello", background=True)
        live.server.stop()
        await asyncio.sleep(0)
        gate.open()
    async with listening(toy_engines(), store_path=path) as live, client_of(live.url) as client:
        found = await client.responses.retrieve(begun.id)
    assert found.status == "failed"
    assert found.error is not None
    assert "shutting down" in found.error.message


async def test_many_clients_at_once_each_get_their_own(client: AsyncOpenAI) -> None:
    async def talk(name: str) -> str:
        first = await client.responses.create(input=f"I am {name}", max_output_tokens=3)
        await client.responses.create(
            input="who?", previous_response_id=first.id, max_output_tokens=3
        )
        (item,) = [item async for item in client.responses.input_items.list(first.id)]
        return item.content[0].text  # type: ignore[union-attr]

    names = [str(number) for number in range(12)]
    assert await asyncio.gather(*map(talk, names)) == [f"I am {name}" for name in names]
