"""What Anthropic's requests become, and which are refused."""

import json
from typing import Any

import pytest

from tercet_server.protocol.messages import CountTokensRequest
from tercet_server.services.messages_request import chat_request
from tests.server.conftest import Service

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {"name": "get_weather", "input_schema": {"type": "object"}}


def said(**fields: Any) -> list[tuple[str, str]]:
    """Roles and texts of what a conversation becomes; a call is its name and arguments."""
    body = json.dumps({"messages": HELLO, **fields})
    found = []
    for message in chat_request(CountTokensRequest.model_validate_json(body)).messages:
        calls = [f"{c.function.name}({c.function.arguments_text})" for c in message.calls]
        found.append((message.role, "; ".join([*filter(None, [message.text]), *calls])))
    return found


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def test_the_system_prompt_is_the_first_message() -> None:
    assert said(system="Be brief.") == [("system", "Be brief."), ("user", "hello")]
    assert said(system=[text("a"), text("b")]) == [("system", "a\nb"), ("user", "hello")]


def test_turns_of_one_role_in_a_row_are_one() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": [text("b")]}]
    assert said(messages=messages) == [("user", "a\nb")]


def test_calls_and_their_results_are_messages_of_chat() -> None:
    call = {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}}
    failed = {"type": "tool_result", "tool_use_id": "t2", "content": "fog", "is_error": True}
    results = [{"type": "tool_result", "tool_use_id": "t1", "content": [text("blue")]}, failed]
    messages = [
        *HELLO,
        {"role": "assistant", "content": [text("I look."), call]},
        {"role": "user", "content": [*results, text("And?")]},
    ]
    assert said(messages=messages) == [
        ("user", "hello"),
        ("assistant", 'I look.; look({"at": "sky"})'),
        ("tool", "blue"),
        ("tool", "Error: fog"),
        ("user", "And?"),
    ]


def test_thoughts_that_nobody_can_read_are_passed_over() -> None:
    hidden = {"type": "redacted_thinking", "data": "x"}
    messages = [*HELLO, {"role": "assistant", "content": [hidden, text("Yes.")]}, *HELLO]
    assert said(messages=messages)[1] == ("assistant", "Yes.")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": None}, "max_tokens must be a whole number; got null"),
        ({"max_tokens": 0}, "max_tokens must be at least 1; got 0"),
        ({"temperature": 1.5}, "temperature must be at most 1; got 1.5"),
        ({"messages": []}, "messages must have 1 or more entries"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]},
            "messages[0].content[0] must be a block of type 'text', 'tool_use' or 'tool_result'",
        ),
        (
            {"messages": [*HELLO, {"role": "assistant", "content": "{"}]},
            "messages must end with a message of the user's",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "tool_use", "id": "a", "name": "b", "input": {}}],
                    }
                ]
            },
            "messages[0].content[0] of type 'tool_use' may only be in a message of the role "
            "'assistant'",
        ),
        ({"system": [{"type": "image"}]}, "system[0] must be a block of type 'text'"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "a tool of Anthropic's own"),
        ({"tools": [{"name": "a b", "input_schema": {}}]}, "tools[0].name must be 1 to 64"),
        ({"tools": [WEATHER, WEATHER]}, "tools[1].name is taken by an earlier tool"),
        (
            {"tools": [{"name": "a", "input_schema": {"type": "string"}}]},
            "tools[0].input_schema.type must be 'object'",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice asks for a tool, but there are no tools"),
        (
            {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}},
            "tool_choice.name must be the name of one of the tools",
        ),
        ({"stop_sequences": [""]}, "stop_sequences[0] must have 1 or more characters"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_anthropics_form(
    service: Service, fields: dict[str, Any], words: str
) -> None:
    body = {"messages": HELLO, "max_tokens": 8, **fields}
    response = await service.client.post("/v1/messages", json=body)

    assert response.status_code == 400
    body = response.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert words in body["error"]["message"]
