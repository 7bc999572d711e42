"""Whatever is sent to Anthropic's API or Ollama's, the server is never at fault."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.server.test_fuzz import Target, as_json, fuzz, text, values

HELLO = [{"role": "user", "content": "hello"}]
PATHS: dict[str, dict[str, Any]] = {
    "/v1/messages": {"messages": HELLO, "max_tokens": 2},
    "/v1/messages/count_tokens": {"messages": HELLO},
    "/api/chat": {"messages": HELLO, "options": {"num_predict": 2}},
    "/api/generate": {"prompt": "a", "options": {"num_predict": 2}},
    "/api/embed": {"input": "a"},
    "/api/embeddings": {"prompt": "a"},
    "/api/show": {},
    "/api/pull": {},
}
FIELDS = [
    *("messages", "model", "system", "tools", "tool_choice", "thinking", "output_config", "stream"),
    *("temperature", "top_k", "top_p", "stop_sequences", "metadata", "format", "options", "think"),
    *("prompt", "raw", "suffix", "template", "context", "images", "logprobs", "top_logprobs"),
    *("input", "truncate", "dimensions", "keep_alive", "name"),
]
OPTIONS = [
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "mirostat", "seed", "stop"),
    *("repeat_penalty", "presence_penalty", "frequency_penalty", "num_ctx", "tfs_z"),
]

blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "thinking", "tool_use", "tool_result", "image"]) | values},
    optional={
        "text": text | values,
        "thinking": text | values,
        "id": text | values,
        "name": text | values,
        "input": values,
        "tool_use_id": text | values,
        "content": text | values,
        "is_error": values,
    },
)
turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]) | values},
        optional={
            "content": text | st.lists(blocks, max_size=3) | values,
            "tool_calls": values,
            "tool_name": text | values,
            "thinking": text | values,
            "images": values,
        },
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def target():
    target = Target()
    yield target
    target.close()


def check(response: httpx.Response) -> None:
    """Served, or refused in its API's shape for a reason that lies with the client."""
    if response.status_code == 200:
        assert '"api_error"' not in response.text
        return
    assert 400 <= response.status_code < 500, response.text
    error = response.json()["error"]
    assert error if isinstance(error, str) else error["message"]


@fuzz
@given(
    path=st.sampled_from(sorted(PATHS)),
    fields=st.dictionaries(st.sampled_from(FIELDS) | text, values, max_size=4),
)
def test_odd_fields_beside_good_ones(target: Target, path: str, fields: dict) -> None:
    check(target.post(path, as_json({**PATHS[path], **fields})))


@fuzz
@given(path=st.sampled_from(["/v1/messages", "/api/chat"]), messages=turns, stream=st.booleans())
def test_odd_messages(target: Target, path: str, messages: list, stream: bool) -> None:
    body = {**PATHS[path], "messages": messages, "stream": stream}
    check(target.post(path, as_json(body)))


@fuzz
@given(
    tools=st.lists(
        st.fixed_dictionaries({"name": st.sampled_from(["f", "g"]) | text, "input_schema": values}),
        max_size=3,
    ),
    choice=st.fixed_dictionaries({"type": st.sampled_from(["any", "tool", "auto", "none"])})
    | values,
)
def test_odd_tools(target: Target, tools: list, choice: Any) -> None:
    body = {**PATHS["/v1/messages"], "tools": tools, "tool_choice": choice}
    check(target.post("/v1/messages", as_json(body)))


@fuzz
@given(options=st.dictionaries(st.sampled_from(OPTIONS) | text, values, max_size=4))
def test_odd_options(target: Target, options: dict) -> None:
    body = {"prompt": "a", "stream": False, "options": {"num_predict": 2, **options}}
    check(target.post("/api/generate", as_json(body)))
