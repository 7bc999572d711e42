"""From Ollama's words for a request to those of chat."""

from collections.abc import Mapping
from typing import Any, Final

from tercet_server.protocol.chat import Message
from tercet_server.protocol.ollama import (
    OllamaChatRequest,
    OllamaGenerateRequest,
    OllamaMessage,
    OllamaRequest,
    Options,
)
from tercet_server.protocol.translated import TranslatedRequest
from tercet_server.served_models import ServedModels
from tercet_server.services.translation import in_words, translated

_TAG: Final = ":latest"
_EFFORTS: Final[Mapping[bool | str | None, str]] = {True: "medium", False: "none", "max": "xhigh"}


def own_name(name: str | None, models: ServedModels) -> str | None:
    """The name of a model as this server knows it; Ollama's clients may put ":latest" behind."""
    if name is not None and name not in models and name.removesuffix(_TAG) in models:
        return name.removesuffix(_TAG)
    return name


def tagged_name(name: str) -> str:
    """The name of a model as Ollama lists it."""
    return name if ":" in name else name + _TAG


def chat_request(request: OllamaChatRequest) -> TranslatedRequest:
    """A conversation in chat's words.

    Raises:
        InvalidRequest: chat does not take it.
    """
    with in_words():
        messages = tuple(map(_message, request.messages or ()))
        return translated(
            {**_shared(request), "messages": messages, "tools": request.tools or None}
        )


def generate_request(request: OllamaGenerateRequest) -> TranslatedRequest:
    """A prompt as a conversation of one turn, in chat's words.

    Raises:
        InvalidRequest: chat does not take it.
    """
    with in_words():
        messages = [Message(role="user", content=request.prompt or "")]
        if request.system:
            messages.insert(0, Message(role="system", content=request.system))
        return translated({**_shared(request), "messages": tuple(messages)})


def _message(message: OllamaMessage) -> Message:
    return Message(
        role=message.role,
        content=message.content or "",
        name=message.tool_name,
        tool_call_id=message.tool_call_id,
        tool_calls=message.tool_calls or None,
        reasoning_content=message.thinking or None,
    )


def _shared(request: OllamaRequest) -> dict[str, Any]:
    options = request.options or Options()
    return {
        "stream": request.stream is not False,
        "most_tokens": options.most_tokens,
        "temperature": options.temperature,
        "top_k": options.top_k,
        "top_p": options.top_p,
        "min_p": options.min_p,
        "seed": None if options.seed == -1 else options.seed,
        "stop": options.stop,
        "repetition_penalty": options.repeat_penalty,
        "presence_penalty": options.presence_penalty,
        "frequency_penalty": options.frequency_penalty,
        "logprobs": request.logprobs,
        "top_logprobs": request.top_logprobs,
        "reasoning_effort": _EFFORTS.get(request.think, request.think),
        "shape": request.shape,
    }
