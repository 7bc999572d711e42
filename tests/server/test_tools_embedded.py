"""Tools over the embedded model, which has never seen one: the grammar alone makes its calls."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI

from tercet_engine import AsyncEngine, EngineConfig, load_engine
from tercet_server.protocol.tools import Tool
from tercet_server.services.tools.prompt import tool_instructions
from tests.server.conftest import Service, listening, serving

ASK: Any = [{"role": "user", "content": "Tell me a story about a cat."}]
MAKE_ANIMAL = {
    "type": "function",
    "function": {
        "name": "make_animal",
        "description": "Makes an animal.",
        "parameters": {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": ["cat", "dog", "bird"]},
                "name": {"type": "string", "maxLength": 12},
                "legs": {"type": "integer", "minimum": 0, "maximum": 8},
                "toys": {
                    "type": "array",
                    "items": {"type": "string", "maxLength": 8},
                    "maxItems": 3,
                },
            },
            "required": ["kind", "legs"],
        },
    },
}
PICK = {
    "type": "function",
    "function": {
        "name": "pick-one",
        "parameters": {
            "type": "object",
            "properties": {
                "when": {"type": "string", "pattern": "^20[0-9]{2}-[01][0-9]$"},
                "size": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/size"}]},
            },
            "required": ["when", "size"],
            "$defs": {"size": {"enum": ["small", "large"]}},
        },
    },
}
TOOLS: Any = [MAKE_ANIMAL, PICK]


@pytest.fixture(scope="module")
def engine() -> Iterator[AsyncEngine]:
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=2048))
    yield engine
    engine.close()


@pytest.fixture
async def service(engine: AsyncEngine) -> AsyncIterator[Service]:
    async with serving(engine) as service:
        yield service


async def choice_of(service: Service, **fields: Any) -> dict[str, Any]:
    body = {"messages": ASK, "tools": TOOLS, "temperature": 1, "max_tokens": 400, **fields}
    response = await service.chat(**body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def check_call(call: dict[str, Any]) -> None:
    """What a client would rely on."""
    name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
    if name == "make_animal":
        assert {"kind", "legs"} <= set(arguments) <= {"kind", "name", "legs", "toys"}
        assert arguments["kind"] in {"cat", "dog", "bird"}
        assert arguments["legs"] in range(9)
        assert len(arguments.get("name", "")) <= 12
        assert len(arguments.get("toys", [])) <= 3
    else:
        assert name == "pick-one"
        assert set(arguments) == {"when", "size"}
        assert re.fullmatch("20[0-9]{2}-[01][0-9]", arguments["when"])
        assert arguments["size"] in {None, "small", "large"}


async def test_required_calls_are_valid_however_they_are_drawn(service: Service) -> None:
    choices = await asyncio.gather(
        *(choice_of(service, tool_choice="required", seed=seed, top_p=1) for seed in range(24))
    )
    for choice in choices:
        assert choice["message"]["content"] is None
        calls = choice["message"]["tool_calls"]
        for call in calls if choice["finish_reason"] == "tool_calls" else calls[:-1]:
            check_call(call)
    assert sum(choice["finish_reason"] == "tool_calls" for choice in choices) > 12


@pytest.mark.parametrize("tool", TOOLS)
async def test_a_named_tool_is_called_once(service: Service, tool: Any) -> None:
    named = {"type": "function", "function": {"name": tool["function"]["name"]}}
    choice = await choice_of(service, tool_choice=named, seed=5)
    (call,) = choice["message"]["tool_calls"]
    assert call["function"]["name"] == tool["function"]["name"]
    check_call(call)
    assert choice["finish_reason"] == "stop"


async def test_each_choice_has_calls_of_its_own(service: Service) -> None:
    body = {"messages": ASK, "tools": TOOLS, "tool_choice": "required", "max_tokens": 400}
    answer = (await service.chat(**body, n=3, seed=4, temperature=1)).json()
    ids = [call["id"] for c in answer["choices"] for call in c["message"]["tool_calls"]]
    assert len(answer["choices"]) == 3
    assert len(set(ids)) == len(ids) >= 3


async def test_calls_do_not_depend_on_what_else_is_computed(service: Service) -> None:
    def texts(choice: dict[str, Any]) -> list[dict[str, Any]]:
        return [call["function"] for call in choice["message"]["tool_calls"]]

    alone = [texts(await choice_of(service, tool_choice="required", seed=s)) for s in range(4)]
    together = await asyncio.gather(
        *(choice_of(service, tool_choice="required", seed=s) for s in range(4)),
        *(choice_of(service, seed=s, max_tokens=100) for s in range(4)),
    )
    assert [texts(choice) for choice in together[:4]] == alone


async def test_a_story_is_the_same_whether_or_not_it_is_watched_for_calls(
    service: Service,
) -> None:
    """Two prompts that differ only in a grammar that lets everything pass."""
    fields = {"seed": 3, "max_tokens": 60}
    watched = await choice_of(service, **fields)
    free = await choice_of(service, **fields, tools=None, messages=generic_messages())
    assert watched["message"]["content"].rstrip() == free["message"]["content"].rstrip()


def generic_messages() -> Any:
    """The conversation as the generic form writes it, with nothing left to be offered."""
    tools = [Tool.model_validate(tool) for tool in TOOLS]
    return [{"role": "system", "content": tool_instructions(tools, None)}, *ASK]


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=2048))
    async with (
        listening(engine) as live,
        AsyncOpenAI(base_url=f"{live.url}/v1", api_key="k", max_retries=0, timeout=60) as client,
    ):
        yield client


async def test_the_official_client_goes_through_a_loop_of_calls(client: AsyncOpenAI) -> None:
    asked = await client.chat.completions.create(
        model="tercet-tiny",
        messages=ASK,
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
        seed=2,
    )
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "done"}
    told = await client.chat.completions.create(
        model="tercet-tiny", messages=[*ASK, message, result], tools=TOOLS, max_tokens=20
    )
    assert told.choices[0].message.content


async def test_the_official_stream_helper_puts_a_call_together(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model="tercet-tiny",
        messages=ASK,
        tools=TOOLS,
        tool_choice="required",
        parallel_tool_calls=False,
        seed=1,
    ) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    assert {
        "tool_calls.function.arguments.delta",
        "tool_calls.function.arguments.done",
    } <= kinds
    (call,) = final.choices[0].message.tool_calls or []
    check_call(call.model_dump())
