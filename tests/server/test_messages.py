"""POST /v1/messages: Anthropic's conversations over scripted toys."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tercet_engine import AsyncEngine
from tests.oracle import chat_templates
from tests.server.conftest import Service, serving

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "name": "get_weather",
    "description": "Tells the weather.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
CALL = (
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}\n</tool_call>'
)


@pytest.fixture
def scripted(toy_engines: Callable[..., AsyncEngine]) -> Callable[..., AsyncEngine]:
    """Makes engines that answer with a text."""

    def make(script: str, **fields: Any) -> AsyncEngine:
        return toy_engines(num_blocks=256, max_context=2048, script=script, **fields)

    return make


async def post(engine: AsyncEngine, **fields: Any) -> httpx.Response:
    async with serving(engine) as service:
        return await post_to(service, **fields)


async def post_to(service: Service, path: str = "", **fields: Any) -> httpx.Response:
    body = {"messages": HELLO, "max_tokens": 400, **fields}
    return await service.client.post(f"/v1/messages{path}", json=body)


async def answer(engine: AsyncEngine, **fields: Any) -> dict[str, Any]:
    response = await post(engine, **fields)
    assert response.status_code == 200, response.text
    return response.json()


async def events(engine: AsyncEngine, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream; each has its own type for a name."""
    text = (await post(engine, stream=True, **fields)).text
    blocks = [block.split("\n") for block in text.removesuffix("\n\n").split("\n\n")]
    found = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert [name for name, _ in blocks] == [f"event: {event['type']}" for event in found]
    return found


async def test_an_answer_is_a_message_with_one_block_of_text(scripted: Any) -> None:
    message = await answer(scripted("Good day."))

    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "toy",
        "content": [{"type": "text", "text": "Good day."}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 24,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 10,
        },
    }


async def test_a_stream_tells_the_block_between_its_start_and_its_stop(scripted: Any) -> None:
    told = await events(scripted("Good day."))

    texts = [event["delta"]["text"] for event in told if event["type"] == "content_block_delta"]
    told = [event for event in told if event["type"] != "content_block_delta"]
    assert "".join(texts) == "Good day."
    assert told[0]["type"] == "message_start"
    assert told[0]["message"]["content"] == []
    assert told[0]["message"]["stop_reason"] is None
    assert told[0]["message"]["usage"]["output_tokens"] == 0
    assert told[1:-2] == [
        {"type": "ping"},
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "text", "text": ""},
        },
        {"type": "content_block_stop", "index": 0},
    ]
    assert told[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert told[-2]["usage"]["output_tokens"] == 10
    assert told[-1] == {"type": "message_stop"}


async def test_the_stop_sequence_that_ended_the_text_is_told(scripted: Any) -> None:
    message = await answer(scripted("One. Two."), stop_sequences=["Two", "x", "y", "z", "q"])

    assert message["content"] == [{"type": "text", "text": "One. "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "Two")


async def test_max_tokens_is_told_from_a_full_context(scripted: Any) -> None:
    engine = scripted("x" * 4000)

    cut = await answer(engine, max_tokens=5)
    full = await answer(engine, max_tokens=1_000_000)
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 5)
    assert full["stop_reason"] == "model_context_window_exceeded"
    assert full["usage"]["output_tokens"] == 2048 - 24


async def test_an_answer_without_a_word_has_one_empty_block(scripted: Any) -> None:
    message = await answer(scripted(""))
    told = await events(scripted(""))

    assert message["content"] == [{"type": "text", "text": ""}]
    assert [event["type"] for event in told if event["type"].startswith("content")] == [
        "content_block_start",
        "content_block_stop",
    ]


async def test_a_call_is_a_block_of_its_own_with_its_input_as_an_object(scripted: Any) -> None:
    message = await answer(scripted(f"Let me see.\n{CALL}\n{CALL}"), tools=[WEATHER])

    text, first, second = message["content"]
    assert text == {"type": "text", "text": "Let me see."}
    assert first.pop("id").startswith("toolu_")
    assert first == {
        "type": "tool_use",
        "name": "get_weather",
        "input": {"city": "Oslo", "days": 2},
    }
    assert second["id"] != first
    assert message["stop_reason"] == "tool_use"


async def test_calls_are_streamed_one_block_after_the_other(scripted: Any) -> None:
    told = await events(scripted(f"Let me see.\n{CALL}\n{CALL}"), tools=[WEATHER])

    opened: list[dict[str, Any]] = []
    inputs: dict[int, str] = {}
    is_open = False
    for event in told[2:-2]:
        match event["type"]:
            case "content_block_start":
                assert not is_open
                assert event["index"] == len(opened)
                opened.append(event["content_block"])
                is_open = True
            case "content_block_stop":
                assert is_open
                is_open = False
            case "content_block_delta" if event["delta"]["type"] == "input_json_delta":
                assert event["index"] == len(opened) - 1
                partial = event["delta"]["partial_json"]
                inputs[event["index"]] = inputs.get(event["index"], "") + partial

    assert [block["type"] for block in opened] == ["text", "tool_use", "tool_use"]
    assert [block["input"] for block in opened[1:]] == [{}, {}]
    assert list(map(json.loads, inputs.values())) == [{"city": "Oslo", "days": 2}] * 2
    assert told[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("choice", "kinds"),
    [
        ({"type": "any"}, ["tool_use", "tool_use"]),
        ({"type": "any", "disable_parallel_tool_use": True}, ["tool_use"]),
        ({"type": "tool", "name": "get_weather"}, ["tool_use"]),
        ({"type": "none"}, ["text"]),
        ({"type": "auto"}, ["tool_use", "tool_use"]),
        (None, ["tool_use", "tool_use"]),
    ],
)
async def test_the_choice_of_tools_is_obeyed(
    scripted: Any, choice: dict[str, Any] | None, kinds: list[str]
) -> None:
    message = await answer(scripted(f"{CALL}\n{CALL}"), tools=[WEATHER], tool_choice=choice)

    assert [block["type"] for block in message["content"]] == kinds
    assert message["stop_reason"] == ("end_turn" if kinds == ["text"] else "tool_use")


async def test_a_call_that_is_cut_off_is_told_as_far_as_it_goes(scripted: Any) -> None:
    message = await answer(scripted(CALL), tools=[WEATHER], max_tokens=70)

    assert message["stop_reason"] == "max_tokens"
    assert message["content"][0]["input"] == {"city": "Oslo"}


async def test_a_thought_is_a_block_before_the_text(scripted: Any) -> None:
    engine = scripted(
        "<think>\nHm.\n</think>\n\nYes.",
        template=chat_templates.THINKING,
        marks=chat_templates.THINK_MARKS,
    )
    message = await answer(engine, thinking={"type": "enabled", "budget_tokens": 1024})
    told = await events(engine, thinking={"type": "enabled", "budget_tokens": 1024})

    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Yes."},
    ]
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 0
    starts = [event for event in told if event["type"] == "content_block_start"]
    assert [start["content_block"]["type"] for start in starts] == ["thinking", "text"]


async def test_who_does_not_ask_for_a_thought_gets_none(scripted: Any) -> None:
    engine = scripted(
        "Hm.\n</think>\n\nYes.",
        template=chat_templates.THINKING_IN_PROMPT,
        marks=chat_templates.THINK_MARKS,
    )
    message = await answer(engine)
    assert [block["type"] for block in message["content"]] == ["text"]


async def test_the_answers_shape_can_be_asked_for(scripted: Any) -> None:
    schema = {
        "type": "object",
        "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"],
        "additionalProperties": False,
    }
    config = {"format": {"type": "json_schema", "schema": schema}}
    message = await answer(scripted("I would rather talk: false"), output_config=config)
    assert json.loads(message["content"][0]["text"])["ok"] in {True, False}


async def prompt_of(engine: AsyncEngine, **fields: Any) -> int:
    async with serving(engine) as service:
        response = await post_to(service, "/count_tokens", **fields)
    assert response.status_code == 200, response.text
    return response.json()["input_tokens"]


async def test_the_count_is_the_length_of_the_prompt_that_would_be_read(scripted: Any) -> None:
    fields = {"system": "Be brief.", "tools": [WEATHER], "tool_choice": {"type": "auto"}}
    message = await answer(scripted("Yes."), **fields)

    counted = await prompt_of(scripted("Yes."), **fields)
    assert counted == message["usage"]["input_tokens"]
    assert counted > await prompt_of(scripted("Yes."), system="Be brief.")


async def test_the_cached_part_of_a_prompt_is_counted_apart(scripted: Any) -> None:
    engine = scripted("Yes.")
    async with serving(engine) as service:
        usages = [(await post_to(service, system="x" * 100)).json()["usage"] for _ in range(2)]

    total = usages[0]["input_tokens"]
    assert usages[0]["cache_read_input_tokens"] == 0
    assert usages[1]["cache_read_input_tokens"] > 64
    assert usages[1]["input_tokens"] + usages[1]["cache_read_input_tokens"] == total


async def test_an_answer_that_fails_in_its_midst_ends_with_an_error_event(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    engine = toy_engines(end_every=0, max_context=512)
    async with serving(engine, request_timeout_seconds=0.001) as service:
        text = (await post_to(service, stream=True)).text
    assert text.startswith("event: message_start\n")
    last = text.removesuffix("\n\n").rpartition("\n\n")[2].split("\n")
    assert last[0] == "event: error"
    assert json.loads(last[1].removeprefix("data: "))["error"]["type"] == "timeout_error"


async def test_the_requests_id_is_where_anthropics_clients_look(scripted: Any) -> None:
    response = await post(scripted("Yes."))
    assert response.headers["request-id"] == response.headers["x-request-id"]


async def test_fields_that_nothing_depends_on_are_ignored_and_logged_once(scripted: Any) -> None:
    async with serving(scripted("Yes.")) as service:
        for _ in range(2):
            response = await post_to(service, metadata={"user_id": "u"}, speed="fast")
            assert response.status_code == 200
        ignored = [line for line in service.log_lines() if line["event"] == "field_ignored"]
    assert [line["field"] for line in ignored] == ["'metadata'", "'speed'"]
