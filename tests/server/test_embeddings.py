"""Embeddings, by the official client. The toy model's state of a token is its id and 1."""

import asyncio
import base64
import math
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from openai import AsyncOpenAI

from tercet_engine import (
    EMBEDDED_MODEL,
    AsyncEngine,
    CompletionRequest,
    CompletionStream,
    EngineConfig,
    load_engine,
)
from tests.oracle.toy_engine import BOS
from tests.server.conftest import Service, listening, serving, until
from tests.server.test_openai_client import client_of


@pytest.fixture
async def client(toy_engine: AsyncEngine) -> AsyncIterator[AsyncOpenAI]:
    async with listening(toy_engine) as live, client_of(live.url) as client:
        yield client


async def embed(service: Service, **fields: Any) -> httpx.Response:
    return await service.client.post("/v1/embeddings", json=fields)


def direction(x: float, y: float) -> list[float]:
    length = math.hypot(x, y)
    return pytest.approx([x / length, y / length], abs=1e-6)


async def test_a_text_becomes_the_mean_of_its_states_at_length_1(client: AsyncOpenAI) -> None:
    answer = await client.embeddings.create(model="toy", input=[2, 4, 6])
    assert answer.data[0].embedding == direction(4, 1)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 3
    assert (answer.object, answer.model, answer.data[0].object) == ("list", "toy", "embedding")


async def test_or_its_last_state(client: AsyncOpenAI) -> None:
    answer = await client.embeddings.create(
        model="toy", input=[2, 4, 6], extra_body={"pooling": "last"}
    )
    assert answer.data[0].embedding == direction(6, 1)


@pytest.mark.parametrize("asked", [{"normalize": True}, {"embd_normalize": 2}])
async def test_who_asks_for_length_1_gets_it(service: Service, asked: dict[str, Any]) -> None:
    assert (await embed(service, input="ab", **asked)).status_code == 200


async def test_texts_have_a_bos_token_before_them(client: AsyncOpenAI) -> None:
    of_text = await client.embeddings.create(model="toy", input="!")
    of_tokens = await client.embeddings.create(model="toy", input=[BOS, 0])
    assert of_text.data[0].embedding == of_tokens.data[0].embedding == direction(BOS / 2, 1)


async def test_many_inputs_keep_their_order(client: AsyncOpenAI) -> None:
    inputs = [[token] for token in range(100)]  # more than the engine takes at once
    answer = await client.embeddings.create(model="toy", input=inputs)
    assert [item.index for item in answer.data] == list(range(100))
    assert all(item.embedding == direction(i, 1) for i, item in enumerate(answer.data))
    assert answer.usage.prompt_tokens == 100


async def test_numbers_and_base64_are_the_same(service: Service) -> None:
    numbers = (await embed(service, input=["ab", "c"], encoding_format="float")).json()
    coded = (await embed(service, input=["ab", "c"], encoding_format="base64")).json()
    for plain, code in zip(numbers["data"], coded["data"], strict=True):
        raw = base64.b64decode(code["embedding"])
        assert plain["embedding"] == np.frombuffer(raw, "<f4").tolist()
    assert (await embed(service, input=["ab", "c"])).json() == numbers  # the default


async def test_dimensions_may_be_those_that_there_are(service: Service) -> None:
    assert (await embed(service, input="a", dimensions=2)).status_code == 200
    error = (await embed(service, input="a", dimensions=1)).json()["error"]
    assert error["param"] == "dimensions"
    assert error["message"].startswith("dimensions must be 2, what this model has")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({}, "input", "invalid_request"),
        ({"input": None}, "input", "invalid_request"),
        ({"input": ""}, "input", "invalid_request"),
        ({"input": []}, "input", "invalid_request"),
        ({"input": ["a", ""]}, "input[1]", "invalid_request"),
        ({"input": [[]]}, "input[0]", "invalid_request"),
        ({"input": [[1], ["a"]]}, "input[1][0]", "invalid_request"),
        ({"input": ["a"] * 2049}, "input", "invalid_request"),
        ({"input": {"text": "a"}}, "input", "invalid_request"),
        ({"input": "x" * 600}, "input", "context_length_exceeded"),
        ({"input": ["a", "x" * 600]}, "input[1]", "context_length_exceeded"),
        ({"input": [[1], [1, 259]]}, "input[1]", "invalid_token"),
        ({"input": "a", "encoding_format": "int8"}, "encoding_format", "invalid_request"),
        ({"input": "a", "pooling": "max"}, "pooling", "invalid_request"),
        ({"input": "a", "model": "other"}, "model", "model_not_found"),
        ({"input": "a", "truncate_prompt_tokens": 3}, "truncate_prompt_tokens", "invalid_request"),
        ({"input": "a", "normalize": False}, "normalize", "invalid_request"),
        ({"input": "a", "embd_normalize": -1}, "embd_normalize", "invalid_request"),
    ],
)
async def test_what_is_wrong_is_named(
    service: Service, fields: dict[str, Any], param: str, code: str
) -> None:
    response = await embed(service, **fields)
    error = response.json()["error"]
    assert 400 <= response.status_code < 500
    assert (error["param"], error["code"]) == (param, code)


async def test_a_text_too_long_is_told_the_limit(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.embeddings.create(model="toy", input="x" * 600)
    assert "the prompt has 601 tokens; this model's context is 512 tokens" in str(raised.value)


async def test_a_text_may_fill_the_whole_context(service: Service) -> None:
    assert (await embed(service, input="x" * 511)).status_code == 200


@pytest.mark.parametrize("text", ["<|eot_id|>", "\x00", "\U0001f701", " "])
async def test_odd_texts_are_embedded(service: Service, text: str) -> None:
    assert (await embed(service, input=text)).status_code == 200


async def test_too_many_numbers_at_once_are_asked_for_in_base64(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tercet_server.services.embeddings._MAX_NUMBERS", 4)
    async with serving(toy_engine) as service:
        refused = await embed(service, input=["a", "b", "c"])
        assert "at most 2 entries" in refused.json()["error"]["message"]
        taken = await embed(service, input=["a", "b", "c"], encoding_format="base64")
        assert taken.status_code == 200


async def test_a_request_of_many_texts_leaves_room_for_others(
    toy_engines: Callable[..., AsyncEngine],
) -> None:
    config = EngineConfig(max_batch_tokens=8, max_sequences=1, max_waiting_requests=0)
    async with serving(toy_engines(config)) as service:
        response = await embed(service, input=["a"] * 30)
        assert response.status_code == 200
        assert len(response.json()["data"]) == 30


@dataclass(frozen=True)
class Held:
    """An engine that computes nothing until it is let go, and what was submitted to it."""

    engine: AsyncEngine
    let_go: Callable[[], None]
    submitted: list[CompletionRequest]

    def is_empty(self) -> bool:
        """Whether all that was submitted has come to an end."""
        stats = self.engine.stats()
        return stats.num_finished + stats.num_aborted == len(self.submitted)


@pytest.fixture
def held(toy_engines: Callable[..., AsyncEngine], monkeypatch: pytest.MonkeyPatch) -> Held:
    gate = threading.Event()
    engine = toy_engines(before_step=lambda: gate.wait(20))
    submit, submitted = engine.submit, []

    def note(requests: Sequence[CompletionRequest], **options: bool) -> list[CompletionStream]:
        submitted.extend(requests)
        return submit(requests, **options)

    monkeypatch.setattr(engine, "submit", note)
    return Held(engine, gate.set, submitted)


async def test_only_a_few_of_many_texts_are_in_the_engine_at_once(held: Held) -> None:
    async with serving(held.engine) as service:
        asked = asyncio.create_task(embed(service, input=["a"] * 100))
        await until(lambda: len(held.submitted) == 16)
        other = asyncio.create_task(service.complete(max_tokens=1))  # there is room for it
        await until(lambda: len(held.submitted) == 17)
        held.let_go()
        assert (await other).status_code == 200
        assert (await asked).status_code == 200
    assert len(held.submitted) == 101


async def test_a_full_server_says_so(held: Held) -> None:
    async with serving(held.engine) as service:
        others = asyncio.create_task(service.complete(prompt=["a"] * 24, max_tokens=1))
        await until(lambda: len(held.submitted) == 24)
        refused = await embed(service, input="a")
        held.let_go()
        await others
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1


async def test_what_takes_too_long_is_given_up(held: Held) -> None:
    async with serving(held.engine, request_timeout_seconds=0.2) as service:
        response = await embed(service, input=["a"] * 30)
        held.let_go()
        await until(held.is_empty)
    assert response.status_code == 504
    assert len(held.submitted) == 16


async def test_nothing_is_computed_for_who_has_left(held: Held) -> None:
    async with listening(held.engine) as live, client_of(live.url) as client:
        asked = asyncio.create_task(client.embeddings.create(model="toy", input=["a"] * 30))
        await until(lambda: len(held.submitted) == 16)
        asked.cancel()
        await until(lambda: not live.server.server_state.tasks)
        held.let_go()
        await until(held.is_empty)
    assert len(held.submitted) == 16
    assert held.engine.stats().num_aborted > 0


async def test_keys_are_asked_for(toy_engine: AsyncEngine) -> None:
    async with serving(toy_engine, api_key=["key"]) as service:
        assert (await embed(service, input="a")).status_code == 401


async def test_fields_without_effect_are_logged_once(service: Service) -> None:
    for _ in range(2):
        await embed(service, input="a", user="me", input_type="query")
    ignored = [line for line in service.log_lines() if line["event"] == "field_ignored"]
    assert [line["field"] for line in ignored] == ["'input_type'"]


async def test_likeness_of_texts_for_the_embedded_model() -> None:
    engine = load_engine(EMBEDDED_MODEL)
    try:
        async with serving(engine) as service:
            inputs = ["The cat sat on the mat.", "The cat sat on a mat.", "Once upon a time"]
            answers = [(await embed(service, input=inputs)).json() for _ in range(2)]
            one = (await embed(service, input=inputs[0])).json()
    finally:
        engine.close()
    vectors = np.array([item["embedding"] for item in answers[0]["data"]])
    assert vectors.shape == (3, engine.info.hidden_size)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert answers[0] == answers[1]
    assert one["data"][0] == answers[0]["data"][0]  # alone and in company
