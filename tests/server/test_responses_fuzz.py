"""Whatever a client sends to /v1/responses, the server is never at fault."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.server.test_fuzz import Target, as_json, check, fuzz, target, text, values

__all__ = ["target"]  # the fixture

FIELDS = [
    *("input", "instructions", "previous_response_id", "store", "max_output_tokens", "text"),
    *("tools", "tool_choice", "parallel_tool_calls", "reasoning", "truncation", "include"),
    *("top_logprobs", "prompt_cache_key", "stream", "stream_options", "metadata", "conversation"),
    *("prompt", "background", "temperature", "max_tool_calls", "service_tier", "stop", "n"),
]
KINDS = ["message", "function_call", "function_call_output", "reasoning", "item_reference"]
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "refusal", []]) | values},
    optional={"text": text | values, "refusal": text | values},
)
items = st.lists(
    st.dictionaries(text, values, max_size=2)
    | st.fixed_dictionaries(
        {"type": st.sampled_from(KINDS)},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", "developer"]) | values,
            "content": text | st.lists(parts, max_size=3) | values,
            "id": text | values,
            "call_id": text | values,
            "name": text | values,
            "arguments": text | values,
            "output": text | st.lists(parts, max_size=2) | values,
            "summary": st.lists(parts, max_size=2) | values,
            "status": text | values,
        },
    ),
    max_size=4,
)
choices = values | st.fixed_dictionaries(
    {"type": st.sampled_from(["function", "allowed_tools"])},
    optional={"name": text, "mode": text, "tools": values},
)
tools = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("function"), "name": st.sampled_from(["f", "g"]) | text},
        optional={"parameters": values, "description": text, "strict": st.none() | st.booleans()},
    ),
    max_size=3,
)
formats = values | st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "json_object", "json_schema"])},
    optional={"name": text, "schema": values, "strict": values},
)


def send(target: Target, **fields: Any) -> None:
    body = {"input": "a", "max_output_tokens": 2, **fields}
    check(target.post("/v1/responses", as_json(body)))


@fuzz
@given(fields=st.dictionaries(st.sampled_from(FIELDS) | text, values, max_size=5))
def test_odd_fields_beside_good_ones(target: Target, fields: dict) -> None:
    send(target, **{"background": False, **fields})


@fuzz
@given(items=items, stream=st.booleans())
def test_odd_items(target: Target, items: list, stream: bool) -> None:
    send(target, input=items, stream=stream)


@fuzz
@given(tools=tools, choice=choices, form=formats)
def test_odd_tools_and_formats(target: Target, tools: list, choice: Any, form: Any) -> None:
    send(target, tools=tools, tool_choice=choice, text={"format": form})


@fuzz
@given(name=text)
def test_odd_ids(target: Target, name: str) -> None:
    send(target, previous_response_id=name)
    send(target, input=[{"type": "item_reference", "id": name}])
