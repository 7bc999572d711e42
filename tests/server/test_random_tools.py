"""Tools of random parameters over the embedded model, at temperature 1: every call validates."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tercet_engine import AsyncEngine, EngineConfig, load_engine
from tests.server.conftest import serving
from tests.server.random_schemas import SchemaMaker

NUM_REQUESTS = 100
NUM_AT_ONCE = 8
MAX_TOKENS = 300

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")


def tool_of(seed: int, name: str) -> dict[str, Any]:
    schema = SchemaMaker(seed).make()
    parameters = {"type": "object", "properties": {"value": schema}, "required": ["value"]}
    if definitions := schema.pop("$defs", None):
        parameters["$defs"] = definitions
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


@pytest.fixture
def engine() -> Iterator[AsyncEngine]:
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=2048))
    yield engine
    engine.close()


@pytest.mark.slow
async def test_every_call_that_has_ended_validates(engine: AsyncEngine) -> None:
    outcomes: Counter[str] = Counter()
    async with serving(engine) as service:
        places = asyncio.Semaphore(NUM_AT_ONCE)

        async def ask(seed: int) -> None:
            tools = [tool_of(2 * seed, "first"), tool_of(2 * seed + 1, "second")]
            async with places:
                response = await service.chat(
                    tools=tools,
                    tool_choice="required",
                    parallel_tool_calls=False,
                    temperature=1,
                    seed=seed,
                    max_tokens=MAX_TOKENS,
                )
            outcomes[check(tools, response.status_code, response.json())] += 1

        await asyncio.gather(*map(ask, range(NUM_REQUESTS)))

    assert outcomes.total() == NUM_REQUESTS
    assert outcomes["valid"] > 0.25 * NUM_REQUESTS, outcomes  # else this shows little


def check(tools: list[dict[str, Any]], status: int, answer: dict[str, Any]) -> str:
    """Say what became of a request, having checked it."""
    if status == 400 and answer["error"]["code"] == "context_length_exceeded":
        return "too long"
    if status == 400:
        assert answer["error"]["code"] == "invalid_grammar", answer
        assert answer["error"]["param"].startswith("tools["), answer
        return "refused"
    assert status == 200, answer
    choice = answer["choices"][0]
    if choice["finish_reason"] == "length":
        return "cut"
    assert choice["finish_reason"] == "tool_calls"
    (call,) = choice["message"]["tool_calls"]
    schemas = {t["function"]["name"]: t["function"]["parameters"] for t in tools}
    schema = schemas[call["function"]["name"]]
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
    validator.validate(json.loads(call["function"]["arguments"]))
    return "valid"
