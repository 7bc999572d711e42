"""Requests: any body at any path, through the whole door to an engine of no weights.

The server answers with a status of 2xx or 4xx, an error in the form of the API that was asked, and
within its time. What it streams ends as streams do.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from typing import Any, Final

from tercet_engine import EngineConfig
from tercet_server.app import create_app
from tercet_server.served_models import ServedModels
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.target import Finding, Target
from tests.oracle.toy_engine import make_toy_engine
from tests.server.conftest import settings_of

_HELLO: Final = [{"role": "user", "content": "hello"}]
_TOOL: Final = {
    "name": "f",
    "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
}
_SCHEMA: Final = {"type": "object", "properties": {"a": {"enum": [1, "b"]}}, "required": ["a"]}
_BODIES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("/v1/chat/completions", {"messages": _HELLO, "max_tokens": 2}),
    (
        "/v1/chat/completions",
        {
            "messages": [
                {"role": "system", "content": [{"type": "text", "text": "a"}]},
                *_HELLO,
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [
                        {
                            "id": "c",
                            "type": "function",
                            "function": {"name": "f", "arguments": "{}"},
                        }
                    ],
                },
                {"role": "tool", "tool_call_id": "c", "content": "b"},
            ],
            "max_completion_tokens": 3,
            "tools": [{"type": "function", "function": _TOOL}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "stream": True,
            "stream_options": {"include_usage": True},
            "logprobs": True,
            "top_logprobs": 2,
            "stop": ["a"],
            "seed": 1,
            "n": 2,
        },
    ),
    (
        "/v1/chat/completions",
        {
            "messages": _HELLO,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": _SCHEMA},
            },
            "max_tokens": 4,
            "reasoning_effort": "low",
            "chat_template_kwargs": {"enable_thinking": False},
        },
    ),
    (
        "/v1/completions",
        {
            "prompt": ["a", "b"],
            "max_tokens": 2,
            "echo": True,
            "logprobs": 1,
            "n": 2,
            "best_of": 2,
            "logit_bias": {"5": 1},
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 4,
            "min_p": 0.1,
            "presence_penalty": 1,
            "stop_token_ids": [3],
        },
    ),
    (
        "/v1/completions",
        {"prompt": [1, 2], "max_tokens": 2, "guided_regex": "[ab]+", "stream": True},
    ),
    ("/v1/completions", {"prompt": "a", "max_tokens": 2, "structured_outputs": {"choice": ["a"]}}),
    ("/v1/responses", {"input": "a", "max_output_tokens": 2, "store": False}),
    (
        "/v1/responses",
        {
            "input": [
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_text", "text": "a"}],
                },
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
                {"type": "reasoning", "summary": [], "id": "rs_1"},
            ],
            "tools": [{"type": "function", **_TOOL, "strict": False}],
            "text": {"format": {"type": "json_schema", "name": "x", "schema": _SCHEMA}},
            "max_output_tokens": 3,
            "stream": True,
            "store": False,
            "reasoning": {"effort": "low"},
        },
    ),
    ("/v1/messages", {"messages": _HELLO, "max_tokens": 2, "system": "a"}),
    (
        "/v1/messages",
        {
            "messages": [
                *_HELLO,
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": "b"}}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "c",
                            "content": "x",
                            "is_error": False,
                        }
                    ],
                },
            ],
            "max_tokens": 3,
            "tools": [{"name": "f", "input_schema": _SCHEMA}],
            "tool_choice": {"type": "any"},
            "thinking": {"type": "enabled", "budget_tokens": 1024},
            "stream": True,
        },
    ),
    ("/v1/messages/count_tokens", {"messages": _HELLO}),
    ("/v1/embeddings", {"input": ["a", "b"], "dimensions": 2, "encoding_format": "base64"}),
    (
        "/v1/decisions",
        {
            "input": [{"role": "user", "content": [{"type": "input_json", "data": {"a": 1}}]}],
            "questions": [
                {"type": "predicate", "instructions": "b"},
                {
                    "type": "choice",
                    "instructions": "b",
                    "choices": [{"value": "a"}, {"value": "b"}],
                },
            ],
        },
    ),
    (
        "/api/chat",
        {"messages": _HELLO, "options": {"num_predict": 2, "stop": ["a"]}, "stream": False},
    ),
    (
        "/api/generate",
        {"prompt": "a", "format": _SCHEMA, "options": {"num_predict": 2}, "think": False},
    ),
    ("/api/embed", {"input": ["a"], "truncate": True}),
    ("/api/embeddings", {"prompt": "a"}),
    ("/api/show", {"model": "toy"}),
    ("/api/pull", {"model": "toy"}),
    ("/tokenize", {"prompt": "a", "return_token_strs": True}),
    ("/tokenize", {"content": "a", "with_pieces": True}),
    ("/tokenize", {"messages": _HELLO, "add_generation_prompt": True}),
    ("/detokenize", {"tokens": [1, 2]}),
    ("/apply-template", {"messages": _HELLO}),
    ("/v1/responses/input_tokens", {"input": "a"}),
)
_PATHS: Final = (
    *dict.fromkeys(path for path, _ in _BODIES),
    *("/v1/models/x", "/v1/responses/resp_x", "/v1/x", "/", "/health", "/api/tags", "/api/copy"),
)
_WORDS: Final = (
    *dict.fromkeys(key for _, body in _BODIES for key in body),
    *(
        "frequency_penalty",
        "min_tokens",
        "ignore_eos",
        "prompt_logprobs",
        "return_token_ids",
        "user",
    ),
    *("metadata", "suffix", "priority", "cache_salt", "json_schema", "regex", "choice", "grammar"),
    *(
        "guided_json",
        "guided_choice",
        "guided_grammar",
        "prompt_embeds",
        "include_stop_str_in_output",
    ),
    *("thinking_token_budget", "parallel_tool_calls", "normalize", "conversation", "background"),
    *("instructions", "previous_response_id", "truncation", "include", "service_tier", "raw"),
    *("template", "context", "images", "keep_alive", "name", "function_call", "reasoning_content"),
    *(
        "type",
        "text",
        "role",
        "content",
        "function",
        "arguments",
        "id",
        "properties",
        "$ref",
        "items",
    ),
    *("allOf", "anyOf", "pattern", "format", "additionalProperties", "maxLength", "multipleOf"),
)
_VALUES: Final = (
    *("user", "assistant", "system", "tool", "developer", "auto", "none", "required", "toy", "f"),
    *("json_object", "json_schema", "text", "input_text", "image_url", "item_reference", "date"),
    *("<|eot_id|>", "[a-z]+", "(a|b)*", 'root ::= "a"', 'start: "a"', "#/$defs/a", _HELLO, _SCHEMA),
    *(
        {"type": "object"},
        {"type": "string"},
        {"$ref": "#"},
        2,
        10,
        20,
        64,
        0.7,
        [1],
        [[1, 2], [3]],
    ),
)
_body = json_mutator(_WORDS, _VALUES, damaged=0.04)
_LIMITS: Final = EngineConfig(max_batch_tokens=64, max_sequences=8, max_waiting_requests=64)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Change the body; now and then the path."""
    path, _, body = data.partition(b"\n")
    if rng.random() < 0.05:
        path = rng.choice(_PATHS).encode()
    return path + b"\n" + _body(body, rng)


def seeds() -> Sequence[bytes]:
    """A sound request for everything that can be asked."""
    return [f"{path}\n{json.dumps(body)}".encode() for path, body in _BODIES]


class _Door:
    """The application, called as a server would."""

    def __init__(self) -> None:
        engine = make_toy_engine(_LIMITS, max_context=96)
        settings = settings_of(log_level="error", request_timeout_seconds=10)
        self._app = create_app(settings, ServedModels.of(settings, [engine]))
        self._loop = asyncio.new_event_loop()

    def __call__(self, data: bytes) -> str:
        path, _, body = data.partition(b"\n")
        status, headers, content = self._loop.run_until_complete(self._post(path, body))
        if 200 <= status < 300:
            check_answer(headers, content)
            return f"{status // 100}xx"
        if not 400 <= status < 500:
            message = f"status {status} at {path.decode(errors='replace')}: {content[:500]!r}"
            raise Finding(message)
        check_error(path.decode("latin-1"), status, headers, content)
        return str(status)

    async def _post(self, path: bytes, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        chunks: list[bytes] = []
        started: dict[str, Any] = {}
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.sleep(60)
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                started.update(message)
            else:
                chunks.append(message.get("body", b""))

        text = path.decode("latin-1")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": text,
            "raw_path": path,
            "root_path": "",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
        }
        await self._app(scope, receive, send)  # type: ignore[arg-type]
        return started["status"], dict(started["headers"]), b"".join(chunks)


def check_answer(headers: dict[bytes, bytes], content: bytes) -> None:
    """It can be read, and tells of no fault of ours."""
    text = content.decode()
    kind = headers.get(b"content-type", b"")
    if kind.startswith(b"application/json"):
        json.loads(text)
    for trouble in ('"api_error"', '"server_error"', '"internal_error"'):
        if trouble in text:
            message = f"an answer with {trouble}: {text[-800:]}"
            raise Finding(message)
    if kind.startswith(b"text/event-stream") and not text.endswith("\n\n"):
        message = f"a stream that was cut: {text[-200:]!r}"
        raise Finding(message)


def check_error(path: str, status: int, headers: dict[bytes, bytes], content: bytes) -> None:
    """It is told in the API's form, in a sentence that can be read."""
    if len(content) > 4000:
        message = f"an error of many bytes: {len(content)}"
        raise Finding(message)
    error = json.loads(content)["error"]
    words = error if isinstance(error, str) else error["message"]
    assert words
    assert path.startswith("/api/") == isinstance(error, str) or status in (404, 405)


TARGET = Target(
    "requests",
    _Door,
    mutate,
    seeds,
    guided_by=("tercet_server", "tercet_engine.grammar", "tercet_engine.schema"),
)
