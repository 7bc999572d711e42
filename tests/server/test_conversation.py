"""What a template is given: messages with calls, in the form of each family."""

import json
from typing import Any

import pytest

from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.services.conversation import TemplateMessage, template_messages
from tercet_server.services.tools.formats import GENERIC, HERMES, LLAMA, ToolFormat, format_of
from tercet_server.services.tools.schemas import enforced_schema
from tests.oracle import chat_templates


def call(call_id: str, name: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def result(call_id: str, content: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


QUESTION = {"role": "user", "content": "?"}
TOGETHER = {"role": "assistant", "content": "So.", "tool_calls": [call("a", "f"), call("b", "g")]}


def converted(form: ToolFormat, *messages: dict[str, Any], told: str = "") -> list[TemplateMessage]:
    request = ChatCompletionRequest.model_validate_json(json.dumps({"messages": messages}))
    return template_messages(request.messages, form, told)


@pytest.mark.parametrize(
    ("template", "form"),
    [
        (chat_templates.HERMES, HERMES),
        (chat_templates.THINKING, HERMES),
        (chat_templates.LLAMA, LLAMA),
        ("{{ messages }}", GENERIC),
        ("{{ tools }}[TOOL_CALLS]", GENERIC),
        ("{{ tools }}<tool_call><function=name>", GENERIC),
    ],
)
def test_the_form_follows_from_the_template(template: str, form: ToolFormat) -> None:
    assert format_of(template) is form


def test_arguments_are_objects_and_results_have_their_tools_name() -> None:
    asked = {"role": "assistant", "tool_calls": [call("a", "f", '{"x": 1}')]}
    assert converted(HERMES, asked, result("a", "r")) == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
            ],
        },
        {"role": "tool", "content": "r", "tool_call_id": "a", "name": "f"},
    ]


@pytest.mark.parametrize("text", ["{broken", "[1]", "null", '"x"'])
def test_malformed_arguments_stay_readable(text: str) -> None:
    (message,) = converted(HERMES, {"role": "assistant", "tool_calls": [call("a", "f", text)]})
    arguments = message["tool_calls"][0]["function"]["arguments"]
    assert arguments == {"malformed_arguments": text}


def test_a_family_of_single_calls_gets_each_with_its_result() -> None:
    messages = converted(LLAMA, QUESTION, TOGETHER, result("b", "rb"), result("a", "ra"), QUESTION)
    told = [
        (m["role"], m["content"], [c["function"]["name"] for c in m.get("tool_calls", [])])
        for m in messages
    ]
    assert told == [
        ("user", "?", []),
        ("assistant", "So.", ["f"]),
        ("tool", "ra", []),
        ("assistant", "", ["g"]),
        ("tool", "rb", []),
        ("user", "?", []),
    ]


def test_calls_without_results_and_results_without_calls_are_kept() -> None:
    messages = converted(LLAMA, TOGETHER, result("x", "rx"))
    assert [message["role"] for message in messages] == ["assistant", "assistant", "tool"]


def test_a_template_without_tools_gets_text() -> None:
    messages = converted(
        GENERIC, QUESTION, TOGETHER, result("a", "ra"), result("b", "rb"), QUESTION
    )
    assert messages == [
        {"role": "user", "content": "?"},
        {
            "role": "assistant",
            "content": 'So.\n<tool_call>{"name": "f", "arguments": {}}</tool_call>\n'
            '<tool_call>{"name": "g", "arguments": {}}</tool_call>',
        },
        {
            "role": "user",
            "content": "<tool_response>\nra\n</tool_response>\n"
            "<tool_response>\nrb\n</tool_response>",
        },
        {"role": "user", "content": "?"},
    ]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_instructions_follow_what_the_system_message_says(role: str) -> None:
    messages = converted(GENERIC, {"role": role, "content": "Be kind."}, QUESTION, told="Tools.")
    assert messages[0] == {"role": "system", "content": "Be kind.\n\nTools."}


def test_instructions_make_a_system_message_where_there_is_none() -> None:
    assert converted(GENERIC, QUESTION, told="Tools.")[0] == {"role": "system", "content": "Tools."}


def test_earlier_thoughts_are_given_back_under_one_name() -> None:
    for name in ("reasoning_content", "reasoning"):
        (message,) = converted(HERMES, {"role": "assistant", "content": "a", name: "t"})
        assert message["reasoning_content"] == "t"


def test_objects_that_name_their_properties_are_closed() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"properties": {"b": {}}}, "c": {"type": "object"}},
    }
    assert enforced_schema(schema) == {
        "type": "object",
        "properties": {
            "a": {"properties": {"b": {}}, "additionalProperties": False},
            "c": {"type": "object"},
        },
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}, "additionalProperties": True},
        {"type": "object", "properties": {"a": {}}, "required": ["b"]},
        {"type": "object", "allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
        {"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}, {}]},
        {"type": "object", "properties": {"a": {}}, "patternProperties": {"^x": {}}},
    ],
)
def test_schemas_that_are_put_together_or_say_otherwise_are_left_as_they_are(
    schema: dict[str, Any],
) -> None:
    assert enforced_schema(schema) == schema


def test_a_tool_without_parameters_takes_none() -> None:
    for parameters in (None, {}):
        assert enforced_schema(parameters)["additionalProperties"] is False
        assert enforced_schema(parameters)["type"] == "object"
