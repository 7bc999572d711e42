"""Operations of OpenAI's API that generate text, and the models that do."""

from typing import Any, Final

from tercet_server.protocol.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
)
from tercet_server.protocol.completions import Completion, CompletionRequest
from tercet_server.protocol.models import ModelCard, ModelList
from tercet_server.reference.operation import Operation, Operations

_STORY: Final = [{"role": "user", "content": "Tell me a story about a dog named Max."}]
_WEATHER: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
_PERSON: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

GENERATION: Final[Operations] = {
    ("post", "/v1/chat/completions"): Operation(
        "Chat",
        "Answer a conversation",
        ChatCompletionRequest,
        ChatCompletion,
        (ChatCompletionChunk,),
        {
            "an answer": {"messages": _STORY, "max_completion_tokens": 20},
            "a stream": {
                "messages": _STORY,
                "max_completion_tokens": 20,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
            "the same answer each time": {
                "messages": _STORY,
                "max_completion_tokens": 20,
                "temperature": 0.8,
                "seed": 7,
            },
            "JSON by a schema": {
                "messages": [{"role": "user", "content": "Invent a person."}],
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "person", "schema": _PERSON},
                },
            },
            "one of a few words": {
                "messages": [{"role": "user", "content": "Is the sky blue?"}],
                "structured_outputs": {"choice": ["yes", "no"]},
            },
            "a tool call": {
                "messages": [{"role": "user", "content": "What is the weather in Paris?"}],
                "tools": [
                    {
                        "type": "function",
                        "function": {"name": "get_weather", "parameters": _WEATHER},
                    }
                ],
                "tool_choice": "required",
            },
            "log-probabilities": {
                "messages": _STORY,
                "max_completion_tokens": 2,
                "logprobs": True,
                "top_logprobs": 2,
            },
        },
        work="chat",
    ),
    ("post", "/v1/completions"): Operation(
        "Completions",
        "Continue one text or several",
        CompletionRequest,
        Completion,
        (Completion,),
        {
            "one text": {"prompt": "Once upon a time", "max_tokens": 20},
            "several texts": {"prompt": ["One day", "At night"], "max_tokens": 8, "n": 2},
            "token ids": {"prompt": [72, 101], "max_tokens": 8},
            "a stream": {"prompt": "Once upon a time", "max_tokens": 8, "stream": True},
            "how likely a text is": {
                "prompt": "Once upon a time",
                "max_tokens": 0,
                "echo": True,
                "logprobs": 1,
            },
        },
        work="text_completion",
    ),
    ("get", "/v1/models"): Operation(
        "Models", "Every name under which the model answers", answer=ModelList
    ),
    ("get", "/v1/models/{name}"): Operation("Models", "One of them", answer=ModelCard),
}
