"""Tokens and prompts as clients of vLLM and llama.cpp ask for them. The toy's tokens are bytes."""

import json
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.oracle.toy_engine import BOS, EOT
from tests.server.conftest import Service, listening, serving
from tests.server.test_openai_client import client_of

HELLO = [{"role": "user", "content": "Hi"}]
RENDERED = "<|begin_of_text|>User: Hi<|eot_id|>"


async def post(service: Service, path: str, **fields: Any) -> dict[str, Any]:
    response = await service.client.post(path, json=fields)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def refused(service: Service, path: str, **fields: Any) -> dict[str, Any]:
    response = await service.client.post(
        path,
        content=json.dumps(fields).encode(),
        headers={"content-type": "application/json"},
    )
    assert 400 <= response.status_code < 500
    error: dict[str, Any] = response.json()["error"]
    return error


async def test_a_prompt_is_cut_as_completions_cut_it(service: Service) -> None:
    answer = await post(service, "/tokenize", model="toy", prompt="ab")
    assert answer["count"] == 3
    assert answer["max_model_len"] == 512
    assert answer["tokens"][0] == BOS
    assert answer["token_strs"] is None
    completion = await service.complete(prompt="ab", return_token_ids=True, max_tokens=1)
    assert completion.json()["choices"][0]["prompt_token_ids"] == answer["tokens"]


async def test_special_tokens_may_be_left_out_and_texts_told(service: Service) -> None:
    answer = await post(
        service,
        "/v1/tokenize",
        prompt="a<|eot_id|>",
        add_special_tokens=False,
        return_token_strs=True,
    )
    assert answer["token_strs"] == ["a", "<|eot_id|>"]
    assert answer["tokens"][1] == EOT


async def test_messages_are_cut_as_chat_cuts_them(service: Service) -> None:
    answer = await post(service, "/tokenize", messages=HELLO)
    chat = await service.chat(messages=HELLO, return_token_ids=True, max_tokens=1)
    assert answer["tokens"] == chat.json()["prompt_token_ids"]
    assert answer["count"] == chat.json()["usage"]["prompt_tokens"]


async def test_the_assistants_turn_need_not_be_opened(service: Service) -> None:
    whole = await post(service, "/tokenize", messages=HELLO)
    short = await post(service, "/tokenize", messages=HELLO, add_generation_prompt=False)
    assert whole["tokens"][: short["count"]] == short["tokens"]
    assert whole["count"] - short["count"] == len("Assistant: ")


async def test_a_responses_tokens_are_counted_by_the_official_client(
    toy_engine: AsyncEngine,
) -> None:
    async with listening(toy_engine) as live, client_of(live.url) as client:
        fields = {"model": "toy", "input": "Hi", "instructions": "Be kind."}
        counted = await client.responses.input_tokens.count(**fields)
        answered = await client.responses.create(**fields, max_output_tokens=4)
        assert answered.usage is not None
        assert counted.input_tokens == answered.usage.input_tokens
        assert counted.object == "response.input_tokens"
        later = await client.responses.input_tokens.count(
            model="toy", input="More", previous_response_id=answered.id
        )
        assert later.input_tokens > counted.input_tokens


async def test_tools_are_part_of_a_prompt(service: Service) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    with_tools = await post(service, "/apply-template", messages=HELLO, tools=tools)
    assert "look" in with_tools["prompt"]
    counted = await post(service, "/v1/chat/completions/input_tokens", messages=HELLO, tools=tools)
    cut = await post(service, "/tokenize", messages=HELLO, tools=tools)
    assert cut["count"] == counted["input_tokens"] > len(RENDERED)


async def test_a_content_is_cut_without_bos_and_answered_as_llama_cpp_does(
    service: Service,
) -> None:
    plain = await post(service, "/tokenize", content="é")
    assert list(plain) == ["tokens"]
    assert len(plain["tokens"]) == 2
    pieces = await post(service, "/tokenize", content="éa", add_special=True, with_pieces=True)
    assert [piece["piece"] for piece in pieces["tokens"]] == [
        "<|begin_of_text|>",
        [0xC3],
        [0xA9],
        "a",
    ]


@pytest.mark.parametrize("text", ["", "a b", "é🜁", "<|eot_id|>", "\x00\n"])
async def test_tokens_become_their_text_again(service: Service, text: str) -> None:
    tokens = (await post(service, "/tokenize", prompt=text, add_special_tokens=False))["tokens"]
    answer = await post(service, "/detokenize", tokens=tokens)
    assert answer == {"prompt": text, "content": text}


@pytest.mark.parametrize("path", ["/tokenize", "/v1/embeddings", "/v1/decisions"])
async def test_a_lone_surrogate_is_no_json(service: Service, path: str) -> None:
    error = await refused(service, path, prompt="\ud800")
    assert error["message"].startswith("the body is not valid JSON")


async def test_long_lists_of_tokens_become_text_too(service: Service) -> None:
    assert (await post(service, "/detokenize", tokens=[64] * 5000))["prompt"] == "a" * 5000


async def test_a_conversation_is_shown_as_the_model_reads_it(service: Service) -> None:
    answer = await post(service, "/apply-template", messages=HELLO)
    assert answer == {"prompt": f"{RENDERED}Assistant: "}


async def test_the_tokenizer_is_described(service: Service) -> None:
    info = (await service.client.get("/tokenizer_info")).json()
    assert info == (await service.client.get("/v1/tokenizer_info")).json()
    assert info["bos_token"] == "<|begin_of_text|>"
    assert info["eos_token"] == "<|end_of_text|>"
    assert info["pad_token"] is None
    assert "add_generation_prompt" in info["chat_template"]
    assert (info["vocab_size"], info["model_max_length"]) == (259, 512)


async def test_a_chat_requests_tokens_are_counted(service: Service) -> None:
    path = "/v1/chat/completions/input_tokens"
    answer = await post(service, path, messages=HELLO, max_tokens=5, temperature=1)
    chat = await service.chat(messages=HELLO, max_tokens=5)
    tokens = chat.json()["usage"]["prompt_tokens"]
    assert answer == {"object": "response.input_tokens", "input_tokens": tokens}
    long = [{"role": "user", "content": "x" * 600}]  # more than the context has room for
    assert (await post(service, path, messages=long))["input_tokens"] == tokens + 598


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": None}, "prompt"),
        ("/tokenize", {"prompt": 1}, "prompt"),
        ("/tokenize", {"prompt": "a", "content": "a"}, "content"),
        ("/tokenize", {"prompt": "a", "messages": HELLO}, "messages"),
        ("/tokenize", {"messages": []}, "messages"),
        ("/tokenize", {"messages": [{"role": "user"}]}, "messages[0].content"),
        ("/tokenize", {"content": "a", "parse_special": False}, "parse_special"),
        ("/tokenize", {"prompt": "a", "model": "other"}, "model"),
        ("/tokenize", {"prompt": "x" * 20_000}, "prompt"),
        (
            "/tokenize",
            {"messages": HELLO, "tools": [{"type": "function", "function": {"name": "a"}}] * 2},
            "tools[1].function.name",
        ),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": "ab"}, "tokens"),
        ("/detokenize", {"tokens": [-1]}, "tokens[0]"),
        ("/detokenize", {"tokens": [259]}, "tokens"),
        ("/detokenize", {"tokens": [1.5]}, "tokens[0]"),
        ("/apply-template", {}, "messages"),
        ("/apply-template", {"messages": HELLO, "chat_template": "{{ 1 }}"}, "chat_template"),
    ],
)
async def test_what_is_wrong_is_named(
    service: Service, path: str, fields: dict[str, Any], param: str
) -> None:
    assert (await refused(service, path, **fields))["param"] == param


async def test_keys_are_asked_for_at_the_root_too(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, api_key=["key"]) as service:
        for prefix in ("", "/v1"):
            answers = [
                await service.client.post(f"{prefix}/tokenize", json={"prompt": "a"}),
                await service.client.post(f"{prefix}/detokenize", json={"tokens": [1]}),
                await service.client.post(f"{prefix}/apply-template", json={"messages": HELLO}),
                await service.client.get(f"{prefix}/tokenizer_info"),
            ]
            assert [answer.status_code for answer in answers] == [401] * 4
