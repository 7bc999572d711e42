"""From Anthropic's words for a conversation to those of chat.

A user's message may hold results of tools beside text: each becomes a message of its own. Turns of
one role in a row become one, as Anthropic has it.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from tercet_engine import RequestError
from tercet_server.errors import InvalidRequest
from tercet_server.protocol.chat import Message
from tercet_server.protocol.messages import (
    Block,
    CountTokensRequest,
    InputMessage,
    MessagesRequest,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolDefinition,
    ToolResultBlock,
    ToolUseBlock,
    text_of,
)
from tercet_server.protocol.tools import (
    FunctionName,
    NamedToolChoice,
    PastFunction,
    PastToolCall,
)
from tercet_server.protocol.translated import TranslatedRequest
from tercet_server.services.translation import in_words, translated

_EFFORTS: Final = {"max": "xhigh"}
_PATHS: Final = {".function.parameters": ".input_schema", ".function.name": ".name"}
"""Chat's names of fields, and Anthropic's."""


@contextlib.contextmanager
def in_anthropics_words() -> Iterator[None]:
    """Name the fields of tools in what is refused as the client knows them."""
    try:
        yield
    except (RequestError, InvalidRequest) as error:
        message, param = str(error), error.param or ""
        for ours, theirs in _PATHS.items():
            message, param = message.replace(ours, theirs), param.replace(ours, theirs)
        error.args, error.param = (message,), param or None
        raise


def chat_request(request: CountTokensRequest) -> TranslatedRequest:
    """The same request in chat's words.

    Raises:
        InvalidRequest: chat does not take it.
    """
    with in_words():
        fields: dict[str, Any] = {
            "model": request.model,
            "messages": tuple(_messages(request)),
            "tools": tuple(map(_tool, request.tools or ())) or None,
            "shape": request.shape,
            **_tool_choice(request),
            **_effort(request),
        }
        if isinstance(request, MessagesRequest):
            fields |= {
                "most_tokens": request.max_tokens,
                "temperature": request.temperature,
                "top_k": request.top_k,
                "top_p": request.top_p,
                "stop": request.stop_sequences,
                "stream": request.stream,
            }
        return translated(fields)


@dataclass(slots=True)
class _Turn:
    """What one role says in a row."""

    role: Literal["user", "assistant", "system", "tool"]
    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[PastToolCall] = field(default_factory=list)
    tool_call_id: str | None = None

    def message(self) -> Message:
        """The turn in chat's words."""
        return Message(
            role=self.role,
            content="\n".join(self.texts),
            tool_call_id=self.tool_call_id,
            tool_calls=tuple(self.calls) or None,
            reasoning_content="\n".join(self.thoughts) or None,
        )


def _messages(request: CountTokensRequest) -> Iterator[Message]:
    if request.system:
        yield Message(role="system", content=text_of(request.system))
    turns: list[_Turn] = []
    for message in request.messages:
        for block in message.blocks:
            _add(turns, message, block)
        if not message.blocks:
            _turn_of(turns, message)
    for turn in turns:
        yield turn.message()


def _add(turns: list[_Turn], message: InputMessage, block: Block) -> None:
    match block:
        case ToolResultBlock(tool_use_id=call_id, content=content):
            text = f"Error: {text_of(content)}" if block.is_error else text_of(content)
            turns.append(_Turn("tool", [text], tool_call_id=call_id))
        case TextBlock(text=text):
            _turn_of(turns, message).texts.append(text)
        case ThinkingBlock(thinking=thinking):
            _turn_of(turns, message).thoughts.append(thinking)
        case ToolUseBlock(id=call_id, name=name, input=arguments):
            function = PastFunction(name=name, arguments=arguments)
            call = PastToolCall(id=call_id, type="function", function=function)
            _turn_of(turns, message).calls.append(call)
        case RedactedThinkingBlock():
            _turn_of(turns, message)


def _turn_of(turns: list[_Turn], message: InputMessage) -> _Turn:
    """The last turn if it is of the message's role, else a new one."""
    if not turns or turns[-1].role != message.role:
        turns.append(_Turn(message.role))
    return turns[-1]


def _tool(tool: ToolDefinition) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.input_schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": function}


def _tool_choice(request: CountTokensRequest) -> dict[str, Any]:
    if (choice := request.tool_choice) is None:
        return {}
    fields: dict[str, Any] = {}
    if choice.disable_parallel_tool_use:
        fields["parallel_tool_calls"] = False
    match choice.type:
        case "any":
            fields["tool_choice"] = "required"
        case "tool":
            function = FunctionName(name=choice.name or "")
            fields["tool_choice"] = NamedToolChoice(type="function", function=function)
        case "auto" | "none":
            fields["tool_choice"] = choice.type
    return fields


def _effort(request: CountTokensRequest) -> dict[str, Any]:
    """Who does not ask for thoughts gets none, from models that can do without."""
    effort = request.output_config.effort if request.output_config else None
    thinking = request.thinking
    if thinking is None or thinking.type == "disabled":
        return {"reasoning_effort": "none"}
    fields: dict[str, Any] = {}
    if effort:
        fields["reasoning_effort"] = _EFFORTS.get(effort, effort)
    if thinking.budget_tokens:
        fields["thinking_token_budget"] = thinking.budget_tokens
    return fields
