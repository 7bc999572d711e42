"""Models that think before they answer, over toys whose answers follow a script."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.oracle import chat_templates
from tests.server.conftest import serving

ASK = [{"role": "user", "content": "why?"}]
MARKS = (*chat_templates.TOOL_MARKS, *chat_templates.THINK_MARKS)
ANSWER = "<think>\nLet me see.\n</think>\n\nBecause."
TOOL = {"type": "function", "function": {"name": "look"}}
FAMILIES: dict[str, dict[str, Any]] = {
    "thinking": {"template": chat_templates.THINKING, "marks": MARKS},
    "in_prompt": {"template": chat_templates.THINKING_IN_PROMPT, "marks": MARKS},
    "spelled": {"template": chat_templates.THINKING},
    "spelled_in_prompt": {"template": chat_templates.THINKING_IN_PROMPT},
    "special": {"template": chat_templates.THINKING, "marks": MARKS, "are_special": True},
}


@pytest.fixture
def engine_of(toy_engines: Callable[..., AsyncEngine]) -> Callable[..., AsyncEngine]:
    def make(family: str, script: str) -> AsyncEngine:
        if "in_prompt" in family:
            script = script.removeprefix("<think>\n")
        return toy_engines(num_blocks=256, max_context=4096, script=script, **FAMILIES[family])

    return make


async def answer(engine: AsyncEngine, **fields: Any) -> dict[str, Any]:
    async with serving(engine) as service:
        response = await service.chat(**{"messages": ASK, **fields})
    assert response.status_code == 200, response.text
    return response.json()


async def message(engine: AsyncEngine, **fields: Any) -> dict[str, Any]:
    return (await answer(engine, **fields))["choices"][0]["message"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_a_thought_is_not_part_of_the_text(family: str, engine_of: Any) -> None:
    told = await answer(engine_of(family, ANSWER))
    assert told["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Because.",
        "refusal": None,
        "reasoning_content": "Let me see.",
    }
    assert told["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("family", ["thinking", "in_prompt", "special"])
async def test_the_tokens_of_a_thought_are_counted(family: str, engine_of: Any) -> None:
    usage = (await answer(engine_of(family, ANSWER)))["usage"]
    in_thought = len("\nLet me see.\n") - (family == "in_prompt")
    assert usage["completion_tokens_details"] == {"reasoning_tokens": in_thought}
    assert usage["completion_tokens"] > in_thought


async def test_a_model_that_does_not_think_counts_no_thoughts(toy_engine: AsyncEngine) -> None:
    assert "completion_tokens_details" not in (await answer(toy_engine))["usage"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_a_stream_tells_the_thought_and_then_the_text(family: str, engine_of: Any) -> None:
    async with serving(engine_of(family, ANSWER)) as service:
        response = await service.chat(messages=ASK, stream=True)
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    deltas = [json.loads(line)["choices"][0]["delta"] for line in lines[:-1]]
    kinds = [next(iter(delta)) for delta in deltas[1:-1]]
    assert sorted(kinds, reverse=True) == kinds, "reasoning_content before content"
    for kind, text in (("reasoning_content", "Let me see."), ("content", "Because.")):
        assert "".join(delta.get(kind, "") for delta in deltas) == text


async def test_an_answer_without_a_thought_is_plain(engine_of: Any) -> None:
    told = await message(engine_of("thinking", "Because."))
    assert told == {"role": "assistant", "content": "Because.", "refusal": None}


@pytest.mark.parametrize("family", ["thinking", "in_prompt", "special"])
async def test_a_thought_ends_where_its_budget_does(family: str, engine_of: Any) -> None:
    told = await answer(engine_of(family, ANSWER), thinking_token_budget=8)
    assert told["usage"]["completion_tokens_details"]["reasoning_tokens"] <= 8
    assert "Let me see.".startswith(told["choices"][0]["message"]["reasoning_content"])
    assert told["choices"][0]["message"]["content"] == "Because."


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("thinking", {"thinking_token_budget": 0}),
        ("in_prompt", {"thinking_token_budget": 0}),
        ("in_prompt", {"reasoning_effort": "none"}),
    ],
)
async def test_a_model_can_be_kept_from_thinking(
    family: str, fields: dict[str, Any], engine_of: Any
) -> None:
    told = await message(engine_of(family, ANSWER), **fields)
    assert told == {"role": "assistant", "content": "Because.", "refusal": None}


@pytest.mark.parametrize(
    "fields",
    [{"reasoning_effort": "none"}, {"chat_template_kwargs": {"enable_thinking": False}}],
)
async def test_a_template_that_knows_the_switch_closes_the_thought_itself(
    fields: dict[str, Any], engine_of: Any
) -> None:
    engine = engine_of("thinking", "Because.")
    silent = await answer(engine, **fields)
    ordinary = await answer(engine, reasoning_effort="high")
    assert silent["choices"][0]["message"]["content"] == "Because."
    extra = silent["usage"]["prompt_tokens"] - ordinary["usage"]["prompt_tokens"]
    assert extra == 2 + len("\n\n\n\n")  # the two marks are tokens


async def test_a_model_that_does_not_think_takes_the_fields_and_has_no_use_for_them(
    toy_engine: AsyncEngine,
) -> None:
    plain = await message(toy_engine)
    assert await message(toy_engine, reasoning_effort="high", thinking_token_budget=5) == plain


async def test_a_budget_that_cannot_be_kept_is_refused(engine_of: Any) -> None:
    async with serving(engine_of("spelled", ANSWER)) as service:
        response = await service.chat(messages=ASK, thinking_token_budget=5)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "thinking_token_budget"


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("choice", ["auto", "required"])
async def test_a_call_may_follow_a_thought(family: str, choice: str, engine_of: Any) -> None:
    call = '<tool_call>{"name": "look", "arguments": {}}</tool_call>'
    script = ANSWER.replace("Because.", call)
    told = await message(engine_of(family, script), tools=[TOOL], tool_choice=choice)
    assert told["reasoning_content"] == "Let me see."
    assert [c["function"]["name"] for c in told["tool_calls"]] == ["look"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_structure_begins_after_the_thought(family: str, engine_of: Any) -> None:
    script = ANSWER.replace("Because.", '{"a": 1}')
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    response_format = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    told = await message(engine_of(family, script), response_format=response_format)
    assert told["reasoning_content"] == "Let me see."
    assert json.loads(told["content"])["a"] == 1


@pytest.mark.parametrize("family", ["thinking", "in_prompt"])
async def test_a_structure_that_begins_with_the_answer_leaves_no_room_for_a_thought(
    family: str, engine_of: Any
) -> None:
    told = await message(engine_of(family, "aab"), regex="a+b")
    assert told == {"role": "assistant", "content": "aab", "refusal": None}


async def test_earlier_thoughts_are_taken_back(engine_of: Any) -> None:
    engine = engine_of("thinking", ANSWER)
    said = await message(engine)
    await message(engine, messages=[*ASK, said, *ASK])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reasoning_effort": "extreme"}, "reasoning_effort"),
        ({"thinking_token_budget": -1}, "thinking_token_budget"),
        ({"chat_template_kwargs": {"messages": "x"}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"bos_token": "x"}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {"a": []}}, "chat_template_kwargs"),
        ({"chat_template_kwargs": {f"a{i}": 1 for i in range(17)}}, "chat_template_kwargs"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    fields: dict[str, Any], param: str, engine_of: Any
) -> None:
    async with serving(engine_of("thinking", "")) as service:
        response = await service.chat(messages=ASK, **fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
