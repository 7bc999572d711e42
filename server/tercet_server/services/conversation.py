"""From a request's messages to those that a chat template takes.

`developer` is the new name of what templates call `system`. A template that knows tools gets calls
and their results as they are, those of a family that calls one at a time one by one. Any other gets
text in their place. Whatever a history holds, something is made of it: whether it makes sense is
the template's to say.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from tercet_server.protocol.chat import Message
from tercet_server.protocol.tools import PastToolCall
from tercet_server.services.tools.formats import ToolFormat
from tercet_server.services.tools.prompt import tool_response

TemplateMessage = dict[str, Any]


def template_messages(
    messages: Sequence[Message], form: ToolFormat, instructions: str = ""
) -> list[TemplateMessage]:
    """Messages as a template takes them.

    Args:
        messages: of the request.
        form: how the model calls tools.
        instructions: go into the system message.
    """
    if not form.is_native:
        converted = _as_text(messages, form)
    elif form.max_calls == 1:
        converted = _one_call_each(messages)
    else:
        converted = _as_they_are(messages)
    return _instructed(list(converted), instructions)


def _as_they_are(messages: Sequence[Message]) -> Iterator[TemplateMessage]:
    names = {call.id: call.function.name for m in messages for call in m.calls if call.id}
    for message in messages:
        converted = _plain(message)
        if converted["role"] == "tool" and message.name is None and message.tool_call_id in names:
            converted["name"] = names[message.tool_call_id]
        if message.calls:
            converted["tool_calls"] = [call.as_dict() for call in message.calls]
        yield converted


def _one_call_each(messages: Sequence[Message]) -> Iterator[TemplateMessage]:
    """Calls made together become calls made one after the other, each with its result."""
    together = {call.id for m in messages if len(m.calls) > 1 for call in m.calls if call.id}
    results: dict[str, TemplateMessage] = {}
    others: list[TemplateMessage] = []
    for message in _as_they_are(messages):
        call_id = message.get("tool_call_id")
        if message["role"] == "tool" and call_id in together and call_id not in results:
            results[call_id] = message
        else:
            others.append(message)
    for message in others:
        calls = message.pop("tool_calls", [])
        if not calls:
            yield message
        for number, call in enumerate(calls):
            yield {**message, "content": "" if number else message["content"], "tool_calls": [call]}
            if result := results.pop(call["id"], None):
                yield result


def _as_text(messages: Sequence[Message], form: ToolFormat) -> Iterator[TemplateMessage]:
    results: list[str] = []
    for message in messages:
        if message.role in {"tool", "function"}:
            results.append(tool_response(message.text))
            continue
        if results:
            yield {"role": "user", "content": "\n".join(results)}
            results = []
        calls = [_call_as_text(call, form) for call in message.calls]
        converted = _plain(message)
        converted["content"] = "\n".join([*filter(None, [message.text]), *calls])
        yield converted
    if results:
        yield {"role": "user", "content": "\n".join(results)}


def _call_as_text(call: PastToolCall, form: ToolFormat) -> str:
    arguments = json.dumps(call.function.arguments_object, ensure_ascii=False)
    return form.call(call.function.name, arguments)


def _plain(message: Message) -> TemplateMessage:
    role = {"developer": "system", "function": "tool"}.get(message.role, message.role)
    optional = {
        "name": message.name,
        "tool_call_id": message.tool_call_id,
        "reasoning_content": message.thoughts or None,
    }
    fields = {"role": role, "content": message.text}
    return fields | {name: value for name, value in optional.items() if value is not None}


def _instructed(messages: list[TemplateMessage], instructions: str) -> list[TemplateMessage]:
    if not instructions:
        return messages
    if messages and messages[0]["role"] == "system":
        first, *others = messages
        return [{**first, "content": f"{first['content']}\n\n{instructions}"}, *others]
    return [{"role": "system", "content": instructions}, *messages]
