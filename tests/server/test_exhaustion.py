"""Requests that ask for all they can: each is answered or refused, and leaves nothing behind."""

import json
from typing import Any

import httpx
import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import CHAT, TEXT, Service, serving, until

DEEP = "[" * 100_000 + "]" * 100_000
OBJECTS = '{"a":' * 50_000 + "1" + "}" * 50_000
COUNTED = "((((a{1,99}){1,99}){1,99}){1,99})"
JSON = {"content-type": "application/json"}


def chat(**fields: Any) -> tuple[str, bytes]:
    return "/v1/chat/completions", json.dumps({**CHAT, "max_tokens": 2, **fields}).encode()


def text(**fields: Any) -> tuple[str, bytes]:
    return "/v1/completions", json.dumps({**TEXT, "max_tokens": 2, **fields}).encode()


def raw(path: str, body: str) -> tuple[str, bytes]:
    return path, body.encode()


def schema(schema: Any) -> tuple[str, bytes]:
    kind = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    return chat(response_format=kind)


def nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        found = {"type": "object", "properties": {"a": found}, "required": ["a"]}
    return found


def tools(count: int, **function: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": f"f{i}", **function}} for i in range(count)]


REFUSED = {
    "lists in lists": raw("/v1/completions", f'{{"prompt": {DEEP}}}'),
    "objects in objects": raw("/v1/completions", f'{{"prompt": "a", "metadata": {OBJECTS}}}'),
    "a deep schema as it is sent": raw(
        "/v1/chat/completions",
        f'{{"messages": [{{"role": "user", "content": "a"}}], "guided_json": {OBJECTS}}}',
    ),
    "a number beyond doubles": raw("/v1/completions", '{"prompt": "a", "temperature": 1e400}'),
    "a number of 5000 digits": raw(
        "/v1/completions", '{"prompt": "a", "seed": 1' + "0" * 5000 + "}"
    ),
    "a count of 5000 digits": raw("/v1/completions", '{"prompt": "a", "n": 1' + "0" * 5000 + "}"),
    "no number": raw("/v1/completions", '{"prompt": "a", "temperature": NaN}'),
    "infinity": raw("/v1/completions", '{"prompt": "a", "temperature": -Infinity}'),
    "half a surrogate": raw("/v1/completions", '{"prompt": "\\ud800"}'),
    "bytes that are no text": ("/v1/completions", b'{"prompt": "\xff\xfe"}'),
    "many choices": chat(n=17),
    "many choices of many prompts": text(prompt=["a"] * 128, n=16),
    "the best of many": text(best_of=17),
    "many log-probabilities": chat(logprobs=True, top_logprobs=21),
    "many prompts": text(prompt=["a"] * 5000),
    "many stop strings": chat(stop=["a"] * 5),
    "a long stop string": chat(stop="a" * 257),
    "many biases": chat(logit_bias={str(i): 1 for i in range(2000)}),
    "a bias of no token": chat(logit_bias={"9" * 4000: 1}),
    "many tools": chat(tools=tools(5000)),
    "a long text for a tool": chat(tools=tools(1, description="a" * 1_000_000)),
    "many messages": chat(messages=CHAT["messages"] * 5000),
    "a message of a million": chat(messages=[{"role": "user", "content": "a" * 1_000_000}]),
    "combining characters": chat(messages=[{"role": "user", "content": "a" + "\u0301" * 500_000}]),
    "no blank in a million": text(prompt="x" * 1_000_000),
    "many pictures": chat(
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 99}}
                ] * 900,
            }
        ]
    ),
    "a picture that lies elsewhere": chat(
        messages=[
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}],
            }
        ]
    ),
    "a number that its compiler dies of": schema({"const": -(2**63)}),
    "references that overflow a stack": schema(
        {
            "$ref": "#/$defs/0",
            "$defs": {
                **{str(i): {"prefixItems": [{"$ref": f"#/$defs/{i + 1}"}]} for i in range(2000)},
                "2000": {},
            },
        }
    ),
    "a schema of itself": schema({"$ref": "#"}),
    "a schema that lies elsewhere": schema({"$ref": "file:///etc/passwd"}),
    "a schema on the network": schema({"$ref": "http://169.254.169.254/latest"}),
    "a schema of 200 levels": schema(nested(200)),
    "a long regex": chat(guided_regex="(a|b)*" * 100_000),
    "a grammar that never ends": chat(guided_grammar="root ::= root"),
    "a long grammar": chat(guided_grammar='root ::= "a"\n' * 50_000),
    "many words to choose from": chat(guided_choice=["a" * 100] * 50_000),
    "a model's name as a path": chat(model="../../../../etc/passwd"),
    "a model's name as an address": chat(model="https://evil.example/model"),
    "a model's name on the Hub": chat(model="org/name@main"),
    "a long model's name": chat(model="a" * 100_000),
    "a long user": chat(user="a" * 100_000),
    "much metadata": chat(metadata={str(i): "a" for i in range(100)}),
    "many texts to embed": ("/v1/embeddings", json.dumps({"input": ["a"] * 100_000}).encode()),
    "many tokens to write out": ("/detokenize", json.dumps({"tokens": [1] * 3_000_000}).encode()),
}  # fmt: skip
ANSWERED = {
    "a schema of giant counts": schema(
        {"type": "array", "items": {"type": "string", "minLength": 10**9}, "minItems": 10**9}
    ),
    "a pattern of patterns": schema({"type": "string", "pattern": COUNTED}),
    "a regex of patterns": chat(guided_regex=COUNTED),
    "a regex of stars": chat(guided_regex="(((a*)*)*)*b", max_tokens=4),
    "a regex that others go back in": chat(guided_regex="(a|a)*c|(a+)+d", max_tokens=4),
    "a schema that holds itself": schema(
        {
            "type": "object",
            "properties": {"next": {"$ref": "#"}},
            "additionalProperties": False,
        }
    ),
    "as many choices as there may be": chat(n=8, logprobs=True, top_logprobs=20),
    "all kinds of blanks": text(prompt="\u200b\u202e\u2028\ufeff\x00\x1b[2J"),
}  # fmt: skip


async def post(service: Service, path: str, body: bytes) -> httpx.Response:
    return await service.client.post(path, content=body, headers=JSON)


async def check_that_nothing_is_left(engine: AsyncEngine, service: Service) -> None:
    await until(lambda: engine.stats().num_running + engine.stats().num_waiting == 0)
    await until(lambda: engine.stats().num_free_blocks == engine.stats().num_blocks)
    assert (await service.complete(max_tokens=1)).status_code == 200


@pytest.mark.parametrize(("path", "body"), REFUSED.values(), ids=REFUSED)
async def test_what_is_too_much_is_refused_in_few_words(
    toy_engine: AsyncEngine, path: str, body: bytes
) -> None:
    async with serving(toy_engine) as service:
        response = await post(service, path, body)
        assert response.status_code in {400, 404, 413, 429}, response.text[:300]
        assert len(response.content) < 2000
        assert "root:" not in response.text
        assert len(service.log.getvalue()) < 4000
        await check_that_nothing_is_left(toy_engine, service)


@pytest.mark.parametrize(("path", "body"), ANSWERED.values(), ids=ANSWERED)
async def test_what_only_looks_like_too_much_is_answered(
    toy_engine: AsyncEngine, path: str, body: bytes
) -> None:
    async with serving(toy_engine) as service:
        response = await post(service, path, body)
        assert response.status_code == 200, response.text[:300]
        await check_that_nothing_is_left(toy_engine, service)


async def test_stored_responses_cannot_fill_the_disk(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, store_responses=5, store_bytes=65536) as service:
        told = [
            (await service.respond(input="x" * 300, max_output_tokens=1)).json()["id"]
            for _ in range(40)
        ]
        found = [
            (await service.client.get(f"/v1/responses/{one}")).status_code == 200 for one in told
        ]
    assert sum(found) <= 5
    assert found[-1]
