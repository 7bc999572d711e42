"""Ollama's API over scripted toys: its lines, its options, its models."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tercet_engine import AsyncEngine
from tercet_server.protocol.ollama import OllamaChatRequest
from tercet_server.services.ollama_request import chat_request
from tests.oracle import chat_templates
from tests.server.conftest import Service, serving

HELLO = [{"role": "user", "content": "hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'
NUMBERS = {"total_duration", "prompt_eval_duration", "eval_duration", "created_at"}


@pytest.fixture
def scripted(toy_engines: Callable[..., AsyncEngine]) -> Callable[..., AsyncEngine]:
    """Makes engines that answer with a text."""

    def make(script: str, **fields: Any) -> AsyncEngine:
        return toy_engines(num_blocks=256, max_context=2048, script=script, **fields)

    return make


async def post(engine: AsyncEngine, path: str, **fields: Any) -> httpx.Response:
    async with serving(engine) as service:
        return await service.client.post(f"/api/{path}", json={"model": "toy", **fields})


async def answer(engine: AsyncEngine, path: str, **fields: Any) -> dict[str, Any]:
    response = await post(engine, path, stream=False, **fields)
    assert response.status_code == 200, response.text
    return response.json()


async def lines(engine: AsyncEngine, path: str, **fields: Any) -> list[dict[str, Any]]:
    response = await post(engine, path, **fields)
    assert response.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in response.text.splitlines()]


async def test_chat_streams_lines_unless_told_not_to(scripted: Any) -> None:
    told = await lines(scripted("Good day."), "chat", messages=HELLO)

    *pieces, last = told
    assert "".join(piece["message"]["content"] for piece in pieces) == "Good day."
    assert {piece["done"] for piece in pieces} == {False}
    assert {piece["model"] for piece in told} == {"toy"}
    assert all(last.pop(name) for name in NUMBERS)
    assert last == {
        "model": "toy",
        "message": {"role": "assistant", "content": ""},
        "done": True,
        "done_reason": "stop",
        "load_duration": 0,
        "prompt_eval_count": 24,
        "eval_count": 10,
    }


async def test_a_whole_answer_is_all_its_lines_in_one(scripted: Any) -> None:
    whole = await answer(scripted("Good day."), "chat", messages=HELLO)

    assert whole["message"] == {"role": "assistant", "content": "Good day."}
    assert (whole["done"], whole["done_reason"], whole["eval_count"]) == (True, "stop", 10)


async def test_generate_answers_a_prompt_as_the_user_of_a_conversation(scripted: Any) -> None:
    told = await lines(scripted("Good day."), "generate", prompt="hello")
    whole = await answer(scripted("Good day."), "generate", prompt="hello", system="Be.")

    assert "".join(piece["response"] for piece in told) == whole["response"] == "Good day."
    assert told[-1]["prompt_eval_count"] == 24
    assert whole["prompt_eval_count"] == 24 + len("System: Be.") + 1


async def test_a_raw_prompt_is_continued_as_it_is(scripted: Any) -> None:
    whole = await answer(scripted(", world"), "generate", prompt="hello", raw=True)
    assert whole["response"] == ", world"
    assert whole["prompt_eval_count"] == 6


@pytest.mark.parametrize(("path", "said"), [("chat", "message"), ("generate", "response")])
async def test_a_request_that_asks_nothing_finds_the_model_loaded(
    service: Service, path: str, said: str
) -> None:
    response = await service.client.post(f"/api/{path}", json={"model": "toy"})
    [line] = response.text.splitlines()
    told = json.loads(line)
    assert (told["done"], told["done_reason"]) == (True, "load")
    assert said in told


async def test_calls_are_told_whole_and_after_the_text(scripted: Any) -> None:
    told = await lines(
        scripted(f"Let me see. {CALL}\n{CALL}"), "chat", messages=HELLO, tools=[WEATHER]
    )
    calls = [call for line in told for call in line["message"].get("tool_calls", [])]
    assert "".join(line["message"]["content"] for line in told) == "Let me see."
    assert [call["function"] for call in calls] == [
        {"name": "get_weather", "arguments": {"city": "Oslo"}}
    ] * 2
    assert told[-1]["done_reason"] == "stop"


async def test_a_thought_has_a_field_of_its_own(scripted: Any) -> None:
    engine = scripted(
        "<think>\nHm.\n</think>\n\nYes.",
        template=chat_templates.THINKING,
        marks=chat_templates.THINK_MARKS,
    )
    chatted = await answer(engine, "chat", messages=HELLO)
    generated = await answer(engine, "generate", prompt="hello", think=True)

    assert chatted["message"] == {"role": "assistant", "content": "Yes.", "thinking": "Hm."}
    assert (generated["response"], generated["thinking"]) == ("Yes.", "Hm.")


@pytest.mark.parametrize(
    "form", [{"type": "object", "properties": {}, "additionalProperties": False}, "json"]
)
async def test_the_answers_form_can_be_asked_for(scripted: Any, form: Any) -> None:
    whole = await answer(scripted("I talk {}"), "chat", messages=HELLO, format=form)
    assert isinstance(json.loads(whole["message"]["content"]), dict)


async def test_options_say_where_an_answer_ends(scripted: Any) -> None:
    cut = await answer(scripted("abcdef"), "chat", messages=HELLO, options={"num_predict": 3.0})
    stopped = await answer(scripted("abcdef"), "chat", messages=HELLO, options={"stop": ["d"]})
    full = await answer(scripted("x" * 3000), "generate", prompt="a", options={"num_predict": -1})

    assert (cut["message"]["content"], cut["done_reason"]) == ("abc", "length")
    assert (stopped["message"]["content"], stopped["done_reason"]) == ("abc", "stop")
    assert (full["prompt_eval_count"] + full["eval_count"], full["done_reason"]) == (2048, "length")


def test_options_become_the_fields_of_chat() -> None:
    options = {
        "temperature": 0.5,
        "top_k": 40.0,
        "top_p": 0.9,
        "min_p": 0.1,
        "seed": 7,
        "num_predict": 8,
        "stop": "x",
        "repeat_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "num_ctx": 4096,
        "num_thread": 2,
        "mirostat": 0,
        "typical_p": 1.0,
    }
    body = json.dumps({"model": "toy:latest", "messages": HELLO, "options": options})
    request = chat_request(OllamaChatRequest.model_validate_json(body))

    assert (request.temperature, request.top_k, request.top_p, request.min_p) == (0.5, 40, 0.9, 0.1)
    assert (request.seed, request.token_ceiling, request.stop) == (7, 8, ("x",))
    assert request.repetition_penalty == 1.1
    assert (request.presence_penalty, request.frequency_penalty) == (0.5, -0.5)


@pytest.mark.parametrize(("seed", "meant"), [(-1, None), (0, 0), (None, None)])
def test_a_seed_of_minus_one_is_any(seed: int | None, meant: int | None) -> None:
    body = json.dumps({"messages": HELLO, "options": {"seed": seed}})
    assert chat_request(OllamaChatRequest.model_validate_json(body)).seed == meant


async def test_log_probabilities_come_with_the_tokens_they_are_of(scripted: Any) -> None:
    whole = await answer(scripted("abc"), "chat", messages=HELLO, logprobs=True, top_logprobs=0)
    assert [score["token"] for score in whole["logprobs"]][:3] == ["a", "b", "c"]


async def test_a_text_too_long_to_embed_is_cut_unless_that_is_forbidden(service: Service) -> None:
    body = {"input": "x" * 600}
    cut = await service.client.post("/api/embed", json=body)
    refused = await service.client.post("/api/embed", json={**body, "truncate": False})

    assert cut.json()["prompt_eval_count"] == 512
    assert refused.status_code == 400
    assert "512 tokens" in refused.json()["error"]


async def test_nothing_to_embed_is_no_embedding(service: Service) -> None:
    several = await service.client.post("/api/embed", json={"input": []})
    one = await service.client.post("/api/embeddings", json={"prompt": ""})
    assert (several.json()["embeddings"], one.json()["embedding"]) == ([], [])


async def test_the_models_are_listed_with_a_tag(service: Service) -> None:
    tags = (await service.client.get("/api/tags")).json()["models"]
    running = (await service.client.get("/api/ps")).json()["models"]
    shown = await service.client.post("/api/show", json={"model": tags[0]["model"]})

    assert [model["name"] for model in tags] == ["toy:latest"]
    assert [model["context_length"] for model in running] == [512]
    assert shown.json()["capabilities"] == ["completion", "tools"]
    assert shown.json()["model_info"]["bitnet.context_length"] == 512


async def test_a_model_with_a_tag_of_its_own_keeps_it(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, served_model_name=("toy:2b", "plain")) as service:
        tags = (await service.client.get("/api/tags")).json()["models"]
    assert [model["name"] for model in tags] == ["toy:2b", "plain:latest"]


async def test_the_version_is_one_that_clients_take_for_ollamas(service: Service) -> None:
    version = (await service.client.get("/api/version")).json()["version"]
    assert tuple(map(int, version.split("."))) >= (0, 6, 4)


@pytest.mark.parametrize(
    ("path", "fields", "status", "words"),
    [
        ("chat", {"model": "x", "messages": HELLO}, 404, "the model 'x' does not exist"),
        ("show", {"model": "x:latest"}, 404, "the model 'x:latest' does not exist"),
        (
            "chat",
            {"messages": [{"role": "user", "content": "a", "images": ["aa"]}]},
            400,
            "messages[0].images must be left out: this server does not take images",
        ),
        ("generate", {"prompt": "a", "images": ["aa"]}, 400, "images must be left out"),
        ("generate", {"prompt": "a", "suffix": "b"}, 400, "suffix must be left out"),
        ("generate", {"prompt": "a", "template": "{{ .Prompt }}"}, 400, "template must be left"),
        ("generate", {"prompt": "a", "context": [1]}, 400, "context must be left out"),
        ("generate", {"prompt": "a", "raw": True, "system": "b"}, 400, "system cannot be combined"),
        ("chat", {"messages": HELLO, "options": {"mirostat": 2}}, 400, "options.mirostat is not"),
        ("chat", {"messages": HELLO, "options": {"top_p": 2}}, 400, "options.top_p must be at"),
        ("chat", {"messages": HELLO, "format": "xml"}, 400, "format must be 'json' or a JSON"),
        (
            "chat",
            {"messages": HELLO, "format": {"type": "string", "pattern": "(?=a)"}},
            400,
            "format.pattern cannot be enforced",
        ),
        ("pull", {}, 400, "fetches, makes or removes none"),
        ("create", {}, 400, "fetches, makes or removes none"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_ollamas_form(
    service: Service, path: str, fields: dict[str, Any], status: int, words: str
) -> None:
    response = await service.client.post(f"/api/{path}", json=fields)
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert words in response.json()["error"]


async def test_an_answer_that_fails_in_its_midst_ends_with_an_error_line(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    engine = toy_engines(end_every=0)
    async with serving(engine, request_timeout_seconds=0.001) as service:
        response = await service.client.post("/api/chat", json={"messages": HELLO})
    assert "was not ready within" in json.loads(response.text.splitlines()[-1])["error"]


async def test_the_key_is_asked_for_here_too(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, api_key=["key"]) as service:
        refused = await service.client.get("/api/tags")
        let_in = await service.client.get("/api/tags", headers={"authorization": "Bearer key"})
    assert (refused.status_code, let_in.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://elsewhere"}, 415),
        ({"origin": "null"}, 415),
        ({"sec-fetch-site": "cross-site"}, 415),
    ],
)
async def test_json_need_not_be_declared_but_by_browsers(
    service: Service, headers: dict[str, str], status: int
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    response = await service.client.post(
        "/api/show", content=b'{"model": "toy"}', headers={**form, **headers}
    )
    assert response.status_code == status
