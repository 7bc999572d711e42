"""Tools in chat requests, over toys of each family whose answers follow a script."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.oracle import chat_templates
from tests.server.conftest import serving

ASK = [{"role": "user", "content": "weather?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Tells the weather.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
        },
    },
}
TIME = {"type": "function", "function": {"name": "get_time"}}
CALL = (
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
)
TIME_CALL = '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>'
LLAMA_CALL = '{"name": "get_weather", "parameters": {"city": "Oslo"}}'
NAMED = {"type": "function", "function": {"name": "get_time"}}

FAMILIES: dict[str, dict[str, Any]] = {
    "generic": {},
    "hermes": {"template": chat_templates.HERMES, "marks": chat_templates.TOOL_MARKS},
    "hermes_spelled": {"template": chat_templates.HERMES},
    "llama": {"template": chat_templates.LLAMA},
}


@pytest.fixture
def engine_of(toy_engines: Callable[..., AsyncEngine]) -> Callable[..., AsyncEngine]:
    def make(family: str, script: str) -> AsyncEngine:
        return toy_engines(num_blocks=256, max_context=4096, script=script, **FAMILIES[family])

    return make


async def ask(engine: AsyncEngine, **fields: Any) -> dict[str, Any]:
    """The first choice."""
    body = {"messages": ASK, "tools": [WEATHER, TIME], **fields}
    async with serving(engine) as service:
        response = await service.chat(**body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


async def deltas(engine: AsyncEngine, **fields: Any) -> list[dict[str, Any]]:
    """The deltas of a stream, the finish reason in the last."""
    body = {"messages": ASK, "tools": [WEATHER, TIME], "stream": True, **fields}
    async with serving(engine) as service:
        response = await service.chat(**body)
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line]
    assert lines.pop() == "[DONE]"
    choices = [json.loads(line)["choices"][0] for line in lines]
    assert [choice["finish_reason"] for choice in choices[:-1]] == [None] * (len(choices) - 1)
    return [*(choice["delta"] for choice in choices[:-1]), choices[-1]]


async def refusal(engine: AsyncEngine, **fields: Any) -> dict[str, Any]:
    async with serving(engine) as service:
        response = await service.chat(**{"messages": ASK, "tools": [WEATHER, TIME], **fields})
    assert response.status_code == 400, response.text
    return response.json()["error"]


def calls_of(choice: dict[str, Any]) -> list[tuple[str, Any]]:
    calls = [call["function"] for call in choice["message"].get("tool_calls", [])]
    return [(call["name"], json.loads(call["arguments"])) for call in calls]


@pytest.mark.parametrize("family", ["generic", "hermes", "hermes_spelled"])
async def test_text_and_calls_come_apart(family: str, engine_of: Any) -> None:
    choice = await ask(engine_of(family, f"I will look.\n{CALL}\n{TIME_CALL}"))

    message = choice["message"]
    assert message["content"] == "I will look."
    assert calls_of(choice) == [("get_weather", {"city": "Oslo", "days": 2}), ("get_time", {})]
    assert choice["finish_reason"] == "tool_calls"
    first = message["tool_calls"][0]
    assert set(first) == {"id", "type", "function"}
    assert (first["id"][:5], len(first["id"]), first["type"]) == ("call_", 29, "function")


async def test_a_family_without_an_opening_calls_by_beginning_with_the_call(engine_of: Any) -> None:
    choice = await ask(engine_of("llama", LLAMA_CALL))
    assert calls_of(choice) == [("get_weather", {"city": "Oslo"})]
    assert choice["message"]["content"] is None


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_an_answer_that_calls_nothing_is_an_ordinary_one(family: str, engine_of: Any) -> None:
    choice = await ask(engine_of(family, "It is <b>cold</b>."))
    assert choice["message"] == {
        "role": "assistant",
        "content": "It is <b>cold</b>.",
        "refusal": None,
    }
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_required_makes_an_answer_a_call_whatever_the_model_wants(
    family: str, engine_of: Any
) -> None:
    choice = await ask(engine_of(family, "}" * 99), tool_choice="required", max_tokens=300)
    assert choice["message"]["content"] in {None, ""}
    for call in choice["message"]["tool_calls"]:
        assert call["function"]["name"] in {"get_weather", "get_time"}


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_a_tool_that_is_named_is_called_and_ends_the_answer(
    family: str, engine_of: Any
) -> None:
    choice = await ask(engine_of(family, "no" * 20), tool_choice=NAMED)
    assert calls_of(choice) == [("get_time", {})]
    assert choice["finish_reason"] == "stop"


async def test_without_parallel_calls_one_call_ends_the_answer(engine_of: Any) -> None:
    choice = await ask(engine_of("hermes", f"{CALL}{TIME_CALL}"), parallel_tool_calls=False)
    assert [name for name, _ in calls_of(choice)] == ["get_weather"]
    assert choice["finish_reason"] == "tool_calls"


async def test_arguments_obey_their_schema_whatever_the_model_wants(engine_of: Any) -> None:
    wrong = CALL.replace('"days": 2', '"days": -7, "more": 1')
    choice = await ask(engine_of("generic", wrong), max_tokens=400)
    (_, arguments), *_ = calls_of(choice)
    assert arguments["city"] == "Oslo"
    assert set(arguments) <= {"city", "days"}
    assert arguments.get("days", 1) >= 1


async def test_none_neither_offers_tools_nor_reads_calls(engine_of: Any) -> None:
    choice = await ask(engine_of("hermes_spelled", CALL), tool_choice="none")
    assert choice["message"]["content"] == CALL
    assert "tool_calls" not in choice["message"]


async def test_the_mark_of_a_call_is_no_text_for_whoever_offers_no_tools(engine_of: Any) -> None:
    choice = await ask(engine_of("generic", CALL), tools=None)
    assert choice["message"]["content"] == CALL


async def test_a_stream_tells_a_calls_name_first_and_then_its_arguments(engine_of: Any) -> None:
    told = await deltas(engine_of("hermes", f"Well.{CALL}{TIME_CALL}"))

    assert told[0] == {"role": "assistant", "content": ""}
    end = told.pop()
    assert (end["delta"], end["finish_reason"]) == ({}, "tool_calls")
    texts = [delta["content"] for delta in told if "content" in delta]
    assert "".join(texts) == "Well."
    calls = [delta["tool_calls"][0] for delta in told if "tool_calls" in delta]
    starts = [call for call in calls if "id" in call]
    assert [(call["index"], call["type"], call["function"]) for call in starts] == [
        (0, "function", {"name": "get_weather", "arguments": ""}),
        (1, "function", {"name": "get_time", "arguments": ""}),
    ]
    others = [call for call in calls if "id" not in call]
    assert all(set(call) == {"index", "function"} for call in others)
    assert all(set(call["function"]) == {"arguments"} for call in others)
    joined = [
        "".join(c["function"]["arguments"] for c in others if c["index"] == i) for i in (0, 1)
    ]
    assert list(map(json.loads, joined)) == [{"city": "Oslo", "days": 2}, {}]


async def test_every_token_of_an_answer_is_told_calls_or_not(engine_of: Any) -> None:
    body = {"messages": ASK, "tools": [WEATHER, TIME], "return_token_ids": True}
    engine = engine_of("hermes", f"Well. {CALL}")
    async with serving(engine) as service:
        whole = (await service.chat(**body)).json()
        streamed = await service.chat(**body, stream=True, logprobs=True)
    lines = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    choices = [json.loads(line)["choices"][0] for line in lines[:-1]]
    tokens = whole["choices"][0]["token_ids"]
    assert len(tokens) == whole["usage"]["completion_tokens"]
    assert [token for choice in choices for token in choice.get("token_ids", [])] == tokens
    scores = [score for c in choices if c["logprobs"] for score in c["logprobs"]["content"]]
    assert len(scores) == len(tokens)


async def test_an_answer_cut_within_a_call_says_length(engine_of: Any) -> None:
    choice = await ask(engine_of("generic", CALL), max_tokens=70)
    assert choice["finish_reason"] == "length"
    (call,) = choice["message"]["tool_calls"]
    assert '{"city": "Oslo", "days": 2}'.startswith(call["function"]["arguments"])


HISTORY = [
    *ASK,
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}},
            {"id": "b", "type": "function", "function": {"name": "get_time", "arguments": "{}"}},
        ],
    },
    {"role": "tool", "tool_call_id": "b", "content": "noon"},
    {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "cold"}]},
]


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("tools", [[WEATHER, TIME], None])
async def test_results_of_calls_are_taken(family: str, tools: Any, engine_of: Any) -> None:
    choice = await ask(engine_of(family, "Cold."), messages=HISTORY, tools=tools)
    assert choice["message"]["content"] == "Cold."


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("arguments", ["{broken", "", "[1]", '"x"', "[" * 500, None, {"city": 1}])
async def test_arguments_in_the_history_may_be_malformed(
    family: str, arguments: Any, engine_of: Any
) -> None:
    function = {"name": "get_weather", "arguments": arguments}
    asked = {"role": "assistant", "tool_calls": [{"id": "a", "function": function}]}
    told = {"role": "tool", "tool_call_id": "a", "content": "cold"}
    async with serving(engine_of(family, "Cold.")) as service:
        response = await service.chat(messages=[*ASK, asked, told], max_tokens=1)
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("family", sorted(FAMILIES))
async def test_the_old_form_of_a_history_is_taken(family: str, engine_of: Any) -> None:
    messages = [
        *ASK,
        {"role": "assistant", "function_call": {"name": "get_time", "arguments": "{}"}},
        {"role": "function", "name": "get_time", "content": "noon"},
    ]
    choice = await ask(engine_of(family, "Noon."), messages=messages)
    assert choice["message"]["content"] == "Noon."


async def test_what_the_server_called_can_be_sent_back_to_it(engine_of: Any) -> None:
    engine = engine_of("hermes", CALL)
    said = (await ask(engine))["message"]
    result = {"role": "tool", "tool_call_id": said["tool_calls"][0]["id"], "content": "cold"}
    choice = await ask(engine, messages=[*ASK, said, result])
    assert choice["finish_reason"] == "tool_calls"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "no other kind of tool"),
        (
            {"tools": [{"type": "function", "function": {"name": "a b"}}]},
            "tools[0].function.name",
            "1 to 64 letters",
        ),
        ({"tools": [TIME, TIME]}, "tools[1].function.name", "is taken by an earlier tool"),
        ({"tools": [TIME] * 129}, "tools", "at most 128 entries"),
        ({"tool_choice": "required", "tools": []}, "tool_choice", "there are no tools"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "other"}}},
            "tool_choice",
            "not among the tools",
        ),
        ({"tool_choice": "sometimes"}, "tool_choice", "must be 'none', 'auto' or 'required'"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice", "not supported"),
        ({"tools": None, "functions": [{"name": "f"}]}, "functions", "takes tools"),
        ({"regex": "a+"}, "tools", "cannot be combined with regex"),
    ],
)
async def test_what_makes_no_sense_is_refused_in_words(
    fields: dict[str, Any], param: str, words: str, engine_of: Any
) -> None:
    error = await refusal(engine_of("generic", ""), **fields)
    assert error["param"] == param
    assert words in error["message"]


@pytest.mark.parametrize(
    ("parameters", "path"),
    [
        ({"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}, ".properties.a.pattern"),
        ({"type": "array", "items": {}}, ".type"),
        ({"type": "object", "properties": {"a": {"not": {}}}}, ".properties.a.not"),
    ],
)
async def test_a_schema_that_cannot_be_enforced_is_refused_by_its_path(
    parameters: dict[str, Any], path: str, engine_of: Any
) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    error = await refusal(engine_of("generic", ""), tools=[TIME, tool])
    assert error["param"] == f"tools[1].function.parameters{path}"


async def test_schemas_are_bounded_together(engine_of: Any) -> None:
    parameters = {"type": "object", "description": "x" * 200_000}
    tools = [
        {"type": "function", "function": {"name": f"f{i}", "parameters": parameters}}
        for i in range(2)
    ]
    error = await refusal(engine_of("generic", ""), tools=tools)
    assert error["param"] == "tools"
    assert "bytes together" in error["message"]


async def test_structured_text_and_calls_are_two_ways_of_one_answer(engine_of: Any) -> None:
    response_format = {
        "type": "json_schema",
        "json_schema": {
            "name": "n",
            "schema": {"type": "object", "properties": {"a": {"const": 1}}},
        },
    }
    words = await ask(engine_of("hermes", '{"a": 1}'), response_format=response_format)
    assert json.loads(words["message"]["content"]) == {"a": 1}
    called = await ask(engine_of("hermes", TIME_CALL), response_format=response_format)
    assert calls_of(called) == [("get_time", {})]


async def test_the_generic_prompt_describes_the_tools(engine_of: Any) -> None:
    few = await usage_of(engine_of("generic", "x"), tools=None)
    some = await usage_of(engine_of("generic", "x"))
    assert some["prompt_tokens"] > few["prompt_tokens"] + len("get_weather") + len("Tells the")


async def usage_of(engine: AsyncEngine, **fields: Any) -> dict[str, Any]:
    async with serving(engine) as service:
        response = await service.chat(**{"messages": ASK, "tools": [WEATHER], **fields})
    return response.json()["usage"]
