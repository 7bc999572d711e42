"""/v1/responses without a stream: what is answered, kept, continued and refused."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from openai.types.responses import Response
from openai.types.responses.response_item import ResponseItem
from pydantic import TypeAdapter

from tercet_engine import AsyncEngine
from tercet_server.protocol.responses.items import STORED_ITEMS
from tercet_server.services.responses.translation import chat_messages
from tests.server.conftest import Service, serving

ITEMS: TypeAdapter[Any] = TypeAdapter(list[ResponseItem])
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


def text_of(response: dict[str, Any]) -> str:
    return "".join(p["text"] for i in response["output"] for p in i.get("content", []))


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.fixture
async def roomy(toy_engines: Callable[..., AsyncEngine]) -> AsyncIterator[Service]:
    async with serving(toy_engines(max_context=4096, end_every=20)) as service:
        yield service


async def prompt_of(service: Service, **fields: Any) -> int:
    return (await service.respond(max_output_tokens=1, **fields)).json()["usage"]["input_tokens"]


async def test_a_response_is_what_openais_client_expects(service: Service) -> None:
    body = (await service.respond(metadata={"a": "b"}, user="me", instructions="be short")).json()
    response = Response.model_validate(body)
    assert response.status == "completed"
    assert response.output[0].type == "message"
    assert response.output_text
    assert (response.metadata, response.user, response.instructions) == (
        {"a": "b"},
        "me",
        "be short",
    )
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


async def test_it_is_chats_answer_to_the_same_conversation(service: Service) -> None:
    response = (await service.respond(instructions="be short", max_output_tokens=30)).json()
    messages = [{"role": "system", "content": "be short"}, user("hello")]
    chat = (await service.chat(messages=messages, max_tokens=30)).json()
    assert text_of(response) == chat["choices"][0]["message"]["content"]


async def test_an_answer_that_is_cut_is_incomplete(service: Service) -> None:
    response = (await service.respond(max_output_tokens=3)).json()
    assert response["status"] == "incomplete"
    assert response["incomplete_details"] == {"reason": "max_output_tokens"}
    assert response["output"][0]["status"] == "incomplete"
    assert response["completed_at"] is None


async def test_log_probabilities_come_for_those_who_include_them(service: Service) -> None:
    wanted = {"include": ["message.output_text.logprobs"], "top_logprobs": 2}
    with_them = Response.model_validate(
        (await service.respond(max_output_tokens=3, **wanted)).json()
    )
    part = with_them.output[0].content[0]  # type: ignore[union-attr]
    assert [len(entry.top_logprobs) for entry in part.logprobs] == [2, 2, 2]  # type: ignore[union-attr]
    assert "".join(entry.token for entry in part.logprobs) == part.text  # type: ignore[union-attr]
    without = (await service.respond(max_output_tokens=3, top_logprobs=2)).json()
    assert without["output"][0]["content"][0]["logprobs"] == []


async def test_a_response_is_found_again(service: Service) -> None:
    response = (await service.respond()).json()
    again = await service.client.get(f"/v1/responses/{response['id']}")
    assert again.json() == response


async def test_a_response_that_is_not_to_be_stored_is_not(service: Service) -> None:
    response = (await service.respond(store=False)).json()
    assert response["store"] is False
    again = await service.client.get(f"/v1/responses/{response['id']}")
    assert (again.status_code, again.json()["error"]["code"]) == (404, "response_not_found")


async def test_a_response_that_is_deleted_is_gone(service: Service) -> None:
    url = f"/v1/responses/{(await service.respond()).json()['id']}"
    deleted = await service.client.delete(url)
    assert deleted.json() == {"id": url[-37:], "object": "response", "deleted": True}
    assert (await service.client.get(url)).status_code == 404
    assert (await service.client.delete(url)).status_code == 404


async def test_a_response_goes_on_from_the_previous_one(roomy: Service) -> None:
    first = (await roomy.respond(input="one")).json()
    second = (await roomy.respond(input="two", previous_response_id=first["id"])).json()
    third = await prompt_of(roomy, input="three", previous_response_id=second["id"])

    spoken = [user("one"), *first["output"], user("two"), *second["output"], user("three")]
    assert third == await prompt_of(roomy, input=spoken)


async def test_instructions_are_not_inherited(roomy: Service) -> None:
    first = (await roomy.respond(input="one", instructions="be very very short")).json()
    spoken = [user("one"), *first["output"], user("two")]
    going_on = await prompt_of(roomy, input="two", previous_response_id=first["id"])
    assert going_on == await prompt_of(roomy, input=spoken)


async def test_an_item_reference_stands_for_the_item(roomy: Service) -> None:
    first = (await roomy.respond(input="one")).json()
    reference = {"type": "item_reference", "id": first["output"][0]["id"]}
    referring = await prompt_of(roomy, input=[user("one"), reference, user("two")])
    spoken = [user("one"), *first["output"], user("two")]
    assert referring == await prompt_of(roomy, input=spoken)


async def test_an_unknown_reference_is_refused(service: Service) -> None:
    for name in ("msg_1", f"msg_{'0' * 36}"):
        error = (await service.respond(input=[{"type": "item_reference", "id": name}])).json()
        assert error["error"]["param"] == "input[0]"


async def test_an_unknown_previous_response_is_a_400(service: Service) -> None:
    response = await service.respond(previous_response_id="resp_1")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "previous_response_not_found"
    assert response.json()["error"]["param"] == "previous_response_id"


async def test_input_items_are_listed_newest_first_page_by_page(service: Service) -> None:
    spoken = [user("a"), {"role": "assistant", "content": "b"}, user("c")]
    url = f"/v1/responses/{(await service.respond(input=spoken)).json()['id']}/input_items"

    first = (await service.client.get(url, params={"limit": 2})).json()
    rest = (await service.client.get(url, params={"after": first["last_id"]})).json()
    ITEMS.validate_python(first["data"] + rest["data"])
    texts = [item["content"][0]["text"] for item in first["data"] + rest["data"]]
    assert texts == ["c", "b", "a"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    oldest_first = (await service.client.get(url, params={"order": "asc"})).json()
    assert oldest_first["data"] == (first["data"] + rest["data"])[::-1]


async def test_every_kind_of_item_is_listed_as_it_was_sent(roomy: Service) -> None:
    spoken = [
        user("x"),
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "AbC"},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{not json"},
        {"type": "function_call_output", "call_id": "c1", "output": "seen"},
        {"role": "developer", "content": [{"type": "input_text", "text": "go on"}]},
    ]
    response = await roomy.respond(input=spoken)
    assert response.status_code == 200, response.text
    url = f"/v1/responses/{response.json()['id']}/input_items"
    items = (await roomy.client.get(url, params={"order": "asc"})).json()["data"]
    ITEMS.validate_python(items)
    assert [item["type"] for item in items] == [
        *("message", "reasoning", "function_call", "function_call_output", "message")
    ]
    assert items[2]["arguments"] == "{not json"


def test_what_an_assistant_does_in_one_turn_is_one_message() -> None:
    items = [
        user("x"),
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"role": "assistant", "content": "wait"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "a"},
        {"type": "function_call", "call_id": "3", "name": "h", "arguments": "{}"},
        {"type": "reasoning", "summary": []},
    ]
    messages = chat_messages(STORED_ITEMS.validate_json(json.dumps(items)))
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]
    assert messages[1]["content"] == "wait"
    assert messages[1]["reasoning_content"] == "hm"
    assert [call["id"] for call in messages[1]["tool_calls"]] == ["1", "2"]
    assert messages[2] == {"role": "tool", "tool_call_id": "1", "content": "a"}


async def test_a_conversation_too_long_is_refused_unless_it_may_be_truncated(
    service: Service,
) -> None:
    spoken = [user(f"{number} {'x' * 100}") for number in range(8)]
    refused = await service.respond(input=spoken)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert refused.json()["error"]["param"] == "input"

    fitted = await service.respond(input=spoken, truncation="auto", max_output_tokens=50)
    assert fitted.status_code == 200
    assert 300 < fitted.json()["usage"]["input_tokens"] <= 512 - 50


async def test_truncation_drops_no_more_than_it_must_be_able_to_keep(service: Service) -> None:
    refused = await service.respond(input="x" * 600, truncation="auto")
    assert refused.json()["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"input": None}, "input", "input is required"),
        ({"input": []}, "input", "input is required"),
        ({"input": 5}, "input", "input must be a string, or a list of items"),
        ({"input": [{"type": "computer_call"}]}, "input[0]", "this server has no tools of its own"),
        ({"input": [{"role": "bot", "content": ""}]}, "input[0].role", None),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0]",
            "does not take images, audio or files",
        ),
        ({"input": [{"role": "user", "content": [{"type": []}]}]}, "input[0].content[0]", None),
        ({"input": [{"type": {}}]}, "input[0]", None),
        ({"text": {"format": {"type": []}}}, "text.format", None),
        ({"tool_choice": {"type": []}}, "tool_choice", None),
        ({"conversation": "conv_1"}, "conversation", "use previous_response_id"),
        ({"prompt": {"id": "p"}}, "prompt", "keeps no prompt templates"),
        ({"context_management": [{"type": "compaction"}]}, "context_management", None),
        ({"max_tokens": 5}, "max_tokens", "here it is called max_output_tokens"),
        ({"response_format": {"type": "text"}}, "response_format", "text.format"),
        ({"max_output_tokens": 0}, "max_output_tokens", None),
        ({"max_output_tokens": 600}, "max_output_tokens", "max_output_tokens is 600"),
        ({"n": 2}, "n", "a response is one answer"),
        ({"background": True, "store": False}, "background", "needs store=true"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "no tools of its own"),
        ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", None),
        ({"tools": [TOOL, TOOL]}, "tools[1].name", "is taken by an earlier tool"),
        ({"tool_choice": "required"}, "tool_choice", "there are no tools"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}}, "tool_choice", None),
        ({"tool_choice": {"type": "web_search"}}, "tool_choice", None),
        ({"text": {"format": {"type": "xml"}}}, "text.format", None),
        (
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "x"}}}},
            "text.format.schema.type",
            None,
        ),
        ({"include": ["everything"]}, "include[0]", None),
        ({"truncation": "middle"}, "truncation", None),
        ({"reasoning": {"effort": "hard"}}, "reasoning.effort", None),
        ({"stream_options": {"include_obfuscation": False}}, "stream_options", None),
        ({"temperature": 3}, "temperature", "temperature must be at most 2; got 3"),
        ({"model": "gpt-5"}, "model", None),
    ],
)
async def test_what_cannot_be_done_is_refused_in_words(
    service: Service, fields: dict[str, Any], param: str, words: str | None
) -> None:
    response = await service.respond(**fields)
    assert response.status_code == (404 if param == "model" else 400), response.text
    error = response.json()["error"]
    assert error["param"] == param, error
    assert words is None or words in error["message"]
    assert "max_tokens" not in error["message"] or param == "max_tokens"


async def test_null_is_the_same_as_absent(service: Service) -> None:
    names = [
        *("instructions", "previous_response_id", "store", "background", "max_output_tokens"),
        *("text", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "truncation"),
        *("include", "top_logprobs", "prompt_cache_key", "service_tier", "stream_options"),
        *("metadata", "user", "stream", "conversation", "prompt", "max_tool_calls"),
    ]
    response = await service.respond(**dict.fromkeys(names))
    assert response.status_code == 200, response.text


async def test_what_no_answer_depends_on_is_accepted(service: Service) -> None:
    harmless = {
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
        "service_tier": "flex",
        "reasoning": {"effort": "low", "summary": "auto"},
        "text": {"format": {"type": "text"}, "verbosity": "low"},
        "max_tool_calls": 3,
        "tools": [],
        "new_field": {"a": 1},
    }
    response = await service.respond(**harmless)
    assert response.status_code == 200, response.text
    assert response.json()["reasoning"]["effort"] == "low"


async def test_a_server_without_a_store_says_so(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, store=False) as service:
        response = (await service.respond(store=True)).json()
        found = await service.client.get(f"/v1/responses/{response['id']}")
        going_on = await service.respond(previous_response_id=response["id"])
        background = await service.respond(background=True)
    assert response["store"] is False
    for refused in (found, going_on, background):
        assert "this server keeps no responses (--no-store)" in refused.json()["error"]["message"]


async def test_one_key_does_not_find_what_another_has_stored(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, api_key=["mine", "yours"]) as service:
        mine = {"authorization": "Bearer mine"}
        yours = {"x-api-key": "yours"}
        made = await service.client.post("/v1/responses", json={"input": "a"}, headers=mine)
        url, name = f"/v1/responses/{made.json()['id']}", made.json()["id"]
        statuses = [
            (await service.client.get(url, headers=headers)).status_code
            for headers in (mine, yours, {})
        ]
        deleted = await service.client.delete(url, headers=yours)
        body = {"input": "b", "previous_response_id": name}
        going_on = await service.client.post("/v1/responses", json=body, headers=yours)
        referring = {"input": [{"type": "item_reference", "id": made.json()["output"][0]["id"]}]}
        referred = await service.client.post("/v1/responses", json=referring, headers=yours)
    assert statuses == [200, 404, 401]
    assert deleted.status_code == 404
    assert going_on.json()["error"]["code"] == "previous_response_not_found"
    assert referred.status_code == 400


async def test_a_file_keeps_responses_for_the_next_server(
    toy_engine: AsyncEngine, tmp_path: Path
) -> None:
    path = tmp_path / "responses.db"
    async with serving(toy_engine, store_path=path) as service:
        response = (await service.respond()).json()
    async with serving(toy_engine, store_path=path) as service:
        found = await service.client.get(f"/v1/responses/{response['id']}")
    assert found.json() == response


async def test_a_response_that_cannot_be_kept_is_answered_all_the_same(
    toy_engine: AsyncEngine,
) -> None:
    async with serving(toy_engine, store_bytes=1024) as service:
        response = await service.respond(input="x" * 100, metadata={"a": "y" * 500})
        found = await service.client.get(f"/v1/responses/{response.json()['id']}")
        warned = [line for line in service.log_lines() if line["event"] == "response_not_stored"]
    assert response.status_code == 200
    assert found.status_code == 404
    assert len(warned) == 1
    assert "xxx" not in json.dumps(service.log_lines())


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("after=x", "after")],
)
async def test_a_wrong_query_is_refused_in_words(service: Service, query: str, param: str) -> None:
    name = (await service.respond()).json()["id"]
    refused = await service.client.get(f"/v1/responses/{name}/input_items?{query}")
    assert refused.status_code == 400
    assert param in refused.json()["error"]["message"]
