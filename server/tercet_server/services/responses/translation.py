"""Between responses and chat: a request on its way in, errors on their way out."""

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from tercet_server.errors import InvalidRequest, invalid_request
from tercet_server.protocol.chat import MAX_MESSAGES, ChatCompletionRequest
from tercet_server.protocol.common import GenerationRequest
from tercet_server.protocol.responses.items import (
    FunctionCallItem,
    FunctionCallOutputItem,
    Item,
    MessageItem,
    ReasoningItem,
)
from tercet_server.protocol.responses.request import (
    AllowedTools,
    CreateResponse,
    FunctionTool,
    JsonSchemaFormat,
    NamedFunction,
)

_SHARED: Final = frozenset(GenerationRequest.model_fields) - {
    *("stop", "stream", "stream_options", "n", "max_tokens", "response_format"),
    *("prompt_logprobs", "return_token_ids", "metadata"),
}
"""Fields that mean the same in both."""
_NAMES: Final = (
    (re.compile(r"\bresponse_format\.json_schema\b"), "text.format"),
    (re.compile(r"\bresponse_format\b"), "text.format"),
    (re.compile(r"(\btools\[\d+\])\.function\b"), r"\1"),
    (re.compile(r"\bmax_(completion_)?tokens\b"), "max_output_tokens"),
    (re.compile(r"\breasoning_effort\b"), "reasoning.effort"),
    (re.compile(r"^messages(\[\d+\][.\w\[\]]*)?"), "input"),
)
"""How chat calls what has another name here."""

E = TypeVar("E", bound=Exception)
Fields = dict[str, Any]


def chat_messages(items: Iterable[Item]) -> list[Fields]:
    """Items as messages. What an assistant thought, said and called in one turn is one message."""
    messages: list[Fields] = []
    thoughts = ""
    for item in items:
        last = messages[-1] if messages else {}
        match item:
            case ReasoningItem():
                thoughts = item.text
                continue
            case MessageItem():
                messages.append({"role": item.role, "content": item.text})
            case FunctionCallItem() if last.get("role") == "assistant":
                last.setdefault("tool_calls", []).append(_call(item))
            case FunctionCallItem():
                messages.append({"role": "assistant", "tool_calls": [_call(item)]})
            case FunctionCallOutputItem():
                message = {"role": "tool", "tool_call_id": item.call_id, "content": item.text}
                messages.append(message)
        if thoughts and messages[-1]["role"] == "assistant":
            messages[-1]["reasoning_content"] = thoughts
        thoughts = ""
    return messages


def chat_request(request: CreateResponse, messages: Sequence[Fields]) -> ChatCompletionRequest:
    """The same request to chat.

    Raises:
        InvalidRequest: chat cannot take it.
    """
    if len(messages) > MAX_MESSAGES:
        words = f"input makes {len(messages)} messages; at most {MAX_MESSAGES} are taken"
        raise InvalidRequest(words, "input")
    fields: Fields = {name: getattr(request, name) for name in request.model_fields_set & _SHARED}
    fields |= {
        "messages": tuple(_with_tuples(message) for message in messages),
        "max_completion_tokens": request.max_output_tokens,
        "stream": request.stream,
        "stop": list(request.stop),
        "logprobs": request.num_logprobs is not None,
        "top_logprobs": request.num_logprobs,
        "parallel_tool_calls": request.parallel_tool_calls,
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "response_format": _format(request),
        **_tools(request),
    }
    try:
        return ChatCompletionRequest.model_validate(fields)
    except ValidationError as error:
        raise in_own_words(invalid_request(error.errors(include_url=False))) from None


def in_own_words(error: E) -> E:
    """An error of chat's with the names that the fields have here."""
    if isinstance(param := getattr(error, "param", None), str):
        error.param = _renamed(param)  # type: ignore[attr-defined]
        error.args = (_renamed(str(error)),)
    return error


def _renamed(text: str) -> str:
    for pattern, name in _NAMES:
        text = pattern.sub(name, text)
    return text


def _call(item: FunctionCallItem) -> Fields:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _with_tuples(message: Fields) -> Fields:
    """A message as the strict reading of Python values wants it."""
    calls = message.get("tool_calls")
    return message if calls is None else {**message, "tool_calls": tuple(calls)}


def _format(request: CreateResponse) -> Fields | None:
    form = request.text.format if request.text else None
    match form:
        case None:
            return None
        case JsonSchemaFormat():
            schema = form.model_dump(by_alias=True, exclude={"type"}, exclude_unset=True)
            return {"type": "json_schema", "json_schema": schema}
    return {"type": form.type}


def _tools(request: CreateResponse) -> Fields:
    if not request.tools:
        return {} if request.tool_choice is None else {"tool_choice": _plain(request.tool_choice)}
    tools, choice = request.tools, request.tool_choice
    if isinstance(choice, AllowedTools):
        allowed = {tool.name for tool in choice.tools}
        tools = tuple(tool for tool in tools if tool.name in allowed)
    return {"tools": tuple(map(_tool, tools)), "tool_choice": _plain(choice)}


def _tool(tool: FunctionTool) -> Fields:
    function = tool.model_dump(exclude={"type"}, exclude_unset=True)
    return {"type": "function", "function": function}


def _plain(choice: object) -> object:
    match choice:
        case NamedFunction(name=name):
            return {"type": "function", "function": {"name": name}}
        case AllowedTools(mode=mode):
            return mode
    return choice
