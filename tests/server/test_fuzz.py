"""Whatever a client sends, the server is never at fault."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tercet_server.app import create_app
from tercet_server.served_models import ServedModels
from tests.oracle.toy_engine import make_toy_engine
from tests.server.conftest import CHAT, TEXT, settings_of

PATHS = {
    "/v1/chat/completions": CHAT,
    "/v1/completions": TEXT,
    "/v1/embeddings": {"input": "a"},
    "/v1/decisions": {"input": "a", "questions": [{"type": "predicate", "instructions": "b"}]},
    "/tokenize": {"prompt": "a"},
    "/detokenize": {"tokens": [1]},
    "/apply-template": {"messages": CHAT["messages"]},
}
FIELDS = [
    *("messages", "prompt", "model", "temperature", "top_p", "top_k", "min_p", "seed", "stop"),
    *("max_tokens", "max_completion_tokens", "n", "presence_penalty", "frequency_penalty"),
    *("logit_bias", "stream", "stream_options", "user", "metadata", "ignore_eos", "min_tokens"),
    *("stop_token_ids", "tools", "response_format", "logprobs", "best_of", "echo", "suffix"),
    *("tool_choice", "parallel_tool_calls", "reasoning_effort", "thinking_token_budget"),
    *("chat_template_kwargs", "top_logprobs", "prompt_logprobs", "return_token_ids", "priority"),
    *("return_tokens_as_token_ids", "prompt_embeds", "normalize"),
    *("structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar"),
    *("json_schema", "regex", "choice", "grammar", "cache_salt", "include_stop_str_in_output"),
    *("input", "questions", "dimensions", "encoding_format", "content", "tokens", "with_pieces"),
]

text = st.text(max_size=20) | st.sampled_from(["", "\x00", "\ud800", "<|eot_id|>", "́", "🜁" * 9])
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([0, -1, 2**31, 2**63, 2**64, 2**64 - 1, 10**400, 1e-320, -0.0])
)
scalars = st.none() | st.booleans() | numbers | text
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
calls = st.fixed_dictionaries(
    {
        "function": values
        | st.fixed_dictionaries({"name": text | values, "arguments": text | values})
    },
    optional={"id": text | values, "type": values},
)
tools = st.fixed_dictionaries(
    {
        "type": st.just("function"),
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "g"]) | text},
            optional={
                "parameters": values | st.fixed_dictionaries({"properties": values}),
                "description": text,
            },
        ),
    }
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "tool", "developer"]) | values},
        optional={
            "content": text
            | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": text | values}))
            | values,
            "name": text | values,
            "tool_calls": values | st.lists(calls, max_size=3),
            "tool_call_id": text | values,
            "function_call": values,
            "reasoning_content": text | values,
        },
    ),
    max_size=4,
)
bodies = st.dictionaries(st.sampled_from(FIELDS) | text, values, max_size=5)


class Target:
    """One server for all examples, each in a loop's turn of its own."""

    def __init__(self) -> None:
        self._engine = make_toy_engine()
        settings = settings_of(log_level="error")
        app = create_app(settings, ServedModels.of(settings, [self._engine]))
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://fuzz", timeout=20
        )

    def post(self, path: str, content: bytes) -> httpx.Response:
        headers = {"content-type": "application/json"}
        return self._runner.run(self._client.post(path, content=content, headers=headers))

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()
        self._engine.close()


@pytest.fixture(scope="module")
def target():
    target = Target()
    yield target
    target.close()


def check(response: httpx.Response) -> None:
    """Served, or refused in the usual shape for a reason that lies with the client."""
    if response.status_code == 200:
        return
    assert 400 <= response.status_code < 500, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]


def as_json(body: Any) -> bytes:
    return json.dumps(
        body
    ).encode()  # with NaN, Infinity and lone surrogates, as Python spells them


fuzz = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@fuzz
@given(path=st.sampled_from(sorted(PATHS)), fields=bodies)
def test_odd_fields_beside_good_ones(target: Target, path: str, fields: dict) -> None:
    check(target.post(path, as_json({**PATHS[path], "max_tokens": 2, **fields})))


@fuzz
@given(messages=messages, stream=st.booleans())
def test_odd_messages(target: Target, messages: list, stream: bool) -> None:
    body = {"messages": messages, "stream": stream, "max_tokens": 2}
    check(target.post("/v1/chat/completions", as_json(body)))


@fuzz
@given(tools=st.lists(tools, max_size=3), choice=st.sampled_from(["auto", "required"]) | values)
def test_odd_tools(target: Target, tools: list, choice: Any) -> None:
    body = {**CHAT, "tools": tools, "tool_choice": choice, "max_tokens": 2}
    check(target.post("/v1/chat/completions", as_json(body)))


@fuzz
@given(prompt=values | st.lists(st.integers(-1, 300)) | st.lists(text), n=st.integers(-1, 20))
def test_odd_prompts(target: Target, prompt: Any, n: int) -> None:
    check(target.post("/v1/completions", as_json({"prompt": prompt, "n": n, "max_tokens": 2})))


@fuzz
@given(
    path=st.sampled_from(["/v1/embeddings", "/v1/decisions"]), value=values, question=text | values
)
def test_odd_inputs(target: Target, path: str, value: Any, question: Any) -> None:
    options = [{"value": value}, {"value": "b"}]
    asked = [{"type": "choice", "instructions": question, "choices": options}]
    data = [{"type": "input_json", "data": {"a": value}}]
    turns = [{"role": "user", "content": value}, {"role": "user", "content": data}]
    for what in (value, turns[:1], turns[1:]):
        check(target.post(path, as_json({"input": what, "questions": asked})))


@fuzz
@given(path=st.sampled_from(sorted(PATHS)), content=st.binary(max_size=60) | values.map(as_json))
def test_odd_bodies(target: Target, path: str, content: bytes) -> None:
    check(target.post(path, content))


@pytest.mark.parametrize("depth", [100, 300, 100_000])
def test_deep_bodies(target: Target, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "1" + "}")):
        nested = opening * depth + closing * depth
        check(target.post("/v1/completions", f'{{"prompt":"a","x":{nested}}}'.encode()))
        check(target.post("/v1/completions", f'{{"prompt":{nested}}}'.encode()))


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": ["a"] * 200_000},
        {"prompt": [1] * 500_000},
        {"prompt": [1] + ["a"] * 200_000},
        {"prompt": "a", "logit_bias": {f"x{i}": "y" for i in range(100_000)}},
        {"prompt": "a", "logit_bias": {str(i): 1 for i in range(100_000)}},
        {"prompt": "a", "stop": ["x"] * 200_000},
        {"prompt": "a", "stop_token_ids": ["x"] * 200_000},
        {"prompt": "a", "metadata": {str(i): 1 for i in range(100_000)}},
        {"prompt": "a", "model": "x" * 1_000_000},
        {"prompt": "a", **{f"field{i}": i for i in range(100_000)}},
        {"prompt": "a", "tokens": ["x"] * 200_000},
        {"prompt": "a", "input": [""] * 200_000},
        {"prompt": "a", "questions": [{}] * 200_000},
    ],
    ids=lambda body: f"{list(body)[-1]}-{len(str(body))}",
)
def test_large_bodies(target: Target, body: dict) -> None:
    for path in ("/v1/completions", "/v1/embeddings", "/v1/decisions", "/detokenize"):
        response = target.post(path, as_json(body))
        check(response)
        assert len(response.content) < 2000
