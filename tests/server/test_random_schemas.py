"""Five hundred random schemas over the embedded model, at temperature 1.

Each is refused by the path of what cannot be enforced, or obeyed: every answer that has ended
validates, and every other says that it was cut.
"""

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import serving
from tests.server.random_schemas import SchemaMaker

NUM_SCHEMAS = 500
NUM_AT_ONCE = 8
MAX_TOKENS = 900

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")


@pytest.mark.slow
async def test_every_answer_that_has_ended_validates(embedded_engine: AsyncEngine) -> None:
    outcomes: Counter[str] = Counter()
    async with serving(embedded_engine) as service:
        places = asyncio.Semaphore(NUM_AT_ONCE)

        async def ask(seed: int) -> None:
            schema = SchemaMaker(seed).make()
            async with places:
                response = await service.chat(
                    response_format={"type": "json_schema", "json_schema": {"schema": schema}},
                    temperature=1,
                    seed=seed,
                    max_tokens=MAX_TOKENS,
                )
            outcomes[check(schema, response.status_code, response.json())] += 1

        await asyncio.gather(*map(ask, range(NUM_SCHEMAS)))

    assert outcomes.total() == NUM_SCHEMAS
    assert outcomes["valid"] > 0.6 * NUM_SCHEMAS  # else this shows little


def check(schema: dict[str, Any], status: int, answer: dict[str, Any]) -> str:
    """Say what became of a schema, having checked it."""
    if status == 400:
        error = answer["error"]
        assert error["code"] == "invalid_grammar", error
        assert points_into(schema, error["param"]), (schema, error)
        return "refused"
    assert status == 200, (schema, answer)
    choice = answer["choices"][0]
    if choice["finish_reason"] == "length":
        return "cut"
    value = json.loads(choice["message"]["content"])
    jsonschema.Draft202012Validator(
        schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    ).validate(value)
    return "valid"


def points_into(schema: Any, param: str) -> bool:
    """Whether a path leads to something in the schema; names may hold dots, so all are tried."""
    root = "response_format.json_schema.schema"
    return param.startswith(root) and _leads(schema, param.removeprefix(root))


def _leads(value: Any, path: str) -> bool:
    if not path:
        return True
    steps = [(f".{key}", held) for key, held in value.items()] if isinstance(value, dict) else []
    if isinstance(value, list):
        steps = [(f"[{index}]", held) for index, held in enumerate(value)]
    return any(
        path.startswith(step) and _leads(held, path.removeprefix(step)) for step, held in steps
    )
