"""Streams of /v1/responses: every event, its order and number, as OpenAI's client reads them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tercet_engine import AsyncEngine
from tests.oracle import chat_templates
from tests.server.conftest import Service, serving

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOL = {
    "type": "function",
    "name": "look",
    "parameters": {
        "type": "object",
        "properties": {"where": {"type": "string"}},
        "required": ["where"],
    },
}
CALL = '<tool_call>\n{"name": "look", "arguments": {"where": "up"}}\n</tool_call>'
MARKS = (*chat_templates.TOOL_MARKS, *chat_templates.THINK_MARKS)
THINKING: dict[str, Any] = {
    "template": chat_templates.THINKING,
    "marks": MARKS,
    "max_context": 4096,
}
BEGINNING = ["response.created", "response.in_progress"]
MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
REASONING = [kind.replace("output_text", "reasoning_text") for kind in MESSAGE]
CALLING = [
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
]


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    """Every event, numbered from 0, named by its type, and as OpenAI's client knows it."""
    assert response.status_code == 200, response.text
    *blocks, end = response.text.split("\n\n")
    assert end == ""
    events = []
    for number, block in enumerate(blocks):
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        assert event["sequence_number"] == number
        EVENTS.validate_python(event)
        events.append(event)
    return events


def kinds_of(events: list[dict[str, Any]]) -> list[str]:
    """The types; deltas that follow one another count once."""
    kinds = [event["type"] for event in events]
    return [kind for kind, last in zip(kinds, ["", *kinds], strict=False) if kind != last]


def joined(events: list[dict[str, Any]], kind: str) -> str:
    return "".join(event["delta"] for event in events if event["type"] == f"response.{kind}.delta")


async def test_a_message_is_told_in_this_order(service: Service) -> None:
    events = events_of(await service.respond(stream=True))
    assert kinds_of(events) == [*BEGINNING, *MESSAGE, "response.completed"]


async def test_a_stream_adds_up_to_the_response(service: Service) -> None:
    whole = (await service.respond(max_output_tokens=30)).json()
    events = events_of(await service.respond(max_output_tokens=30, stream=True))
    text = whole["output"][0]["content"][0]["text"]
    assert joined(events, "output_text") == text
    assert next(e["text"] for e in events if e["type"] == "response.output_text.done") == text
    final = events[-1]["response"]
    assert final["usage"] | {"input_tokens_details": 0} == whole["usage"] | {
        "input_tokens_details": 0
    }
    assert final["output"][0]["content"] == whole["output"][0]["content"]
    assert events[-2]["item"] == final["output"][0]


async def test_a_cut_answer_ends_its_stream_as_incomplete(service: Service) -> None:
    events = events_of(await service.respond(max_output_tokens=3, stream=True))
    assert events[-1]["type"] == "response.incomplete"
    assert events[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_log_probabilities_come_with_the_text(service: Service) -> None:
    wanted = {"include": ["message.output_text.logprobs"], "max_output_tokens": 5}
    events = events_of(await service.respond(stream=True, **wanted))
    deltas = [event for event in events if event["type"] == "response.output_text.delta"]
    scores = [score for delta in deltas for score in delta["logprobs"]]
    assert "".join(score["token"] for score in scores) == joined(events, "output_text")
    assert next(e["logprobs"] for e in events if "text.done" in e["type"]) == scores


async def test_a_response_can_be_continued_as_soon_as_its_last_event_is_read(
    service: Service,
) -> None:
    events = events_of(await service.respond(stream=True, max_output_tokens=5))
    stored = await service.client.get(f"/v1/responses/{events[0]['response']['id']}")
    assert stored.json() == events[-1]["response"]


async def test_a_call_has_no_parts(toy_engines: Callable[..., AsyncEngine]) -> None:
    async with serving(toy_engines(max_context=4096, script=CALL)) as service:
        events = events_of(await service.respond(tools=[TOOL], stream=True))
        whole = (await service.respond(tools=[TOOL])).json()
    assert kinds_of(events) == [*BEGINNING, *CALLING, "response.completed"]
    assert json.loads(joined(events, "function_call_arguments")) == {"where": "up"}
    call = events[-1]["response"]["output"][0]
    assert (call["name"], json.loads(call["arguments"])) == ("look", {"where": "up"})
    assert whole["output"][0]["arguments"] == call["arguments"]
    assert call["call_id"].startswith("call_")


async def test_text_may_stand_before_a_call(toy_engines: Callable[..., AsyncEngine]) -> None:
    async with serving(toy_engines(max_context=4096, script=f"Let us see. {CALL}")) as service:
        events = events_of(await service.respond(tools=[TOOL], stream=True))
    assert kinds_of(events) == [*BEGINNING, *MESSAGE, *CALLING, "response.completed"]
    assert [e["output_index"] for e in events if e["type"] == CALLING[0]] == [0, 1]
    ids = [item["id"] for item in events[-1]["response"]["output"]]
    assert len(set(ids)) == 2


async def test_every_call_is_an_item_of_its_own(toy_engines: Callable[..., AsyncEngine]) -> None:
    script = f"{CALL}\n{CALL.replace('up', 'down')}"
    async with serving(toy_engines(max_context=4096, script=script)) as service:
        events = events_of(await service.respond(tools=[TOOL], stream=True))
    assert kinds_of(events) == [*BEGINNING, *CALLING, *CALLING, "response.completed"]


async def test_thoughts_are_an_item_before_the_answer(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    script = "<think>\nLet me see.\n</think>\n\nBecause."
    async with serving(toy_engines(script=script, **THINKING)) as service:
        events = events_of(await service.respond(stream=True))
    assert kinds_of(events) == [*BEGINNING, *REASONING, *MESSAGE, "response.completed"]
    thoughts, message = events[-1]["response"]["output"]
    assert thoughts["content"] == [{"type": "reasoning_text", "text": "Let me see."}]
    assert message["content"][0]["text"] == "Because."
    assert events[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] > 0


async def test_an_answer_of_nothing_is_an_empty_message(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    async with serving(toy_engines(script="")) as service:
        events = events_of(await service.respond(stream=True))
    assert "response.output_item.added" in kinds_of(events)
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == ""


async def test_a_failure_is_told_as_a_status_and_as_an_error(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    def fail() -> None:
        message = "the machine is on fire"
        raise RuntimeError(message)

    async with serving(toy_engines(before_step=fail)) as service:
        response = await service.respond(stream=True)
    events = events_of(response)
    assert kinds_of(events) == [*BEGINNING, "response.failed", "error"]
    assert events[-2]["response"]["error"]["code"] == "server_error"
    assert events[-1]["code"] == "engine_dead"
    assert "on fire" not in response.text


async def test_a_failure_of_what_does_not_stream_is_an_ordinary_error(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    def fail() -> None:
        raise RuntimeError

    async with serving(toy_engines(before_step=fail)) as service:
        response = await service.respond()
    assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_dead")


@pytest.mark.parametrize("fields", [{"max_output_tokens": 10_000}, {"model": "gpt-5"}])
async def test_what_is_wrong_before_the_first_byte_is_an_ordinary_error(
    service: Service, fields: dict[str, Any]
) -> None:
    response = await service.respond(stream=True, **fields)
    assert response.status_code in {400, 404}
    assert response.headers["content-type"] == "application/json"
