"""The official client over the embedded model: log-probabilities, parsed answers, the best of n."""

import json
from collections.abc import AsyncIterator
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel

from tercet_engine import EngineConfig, load_engine
from tests.server.conftest import listening
from tests.server.test_openai_client import HELLO, client_of

MODEL = "tercet-tiny"


class Animal(BaseModel):
    name: str
    kind: Literal["cat", "dog", "bird"]
    legs: Literal[2, 4]


class Story(BaseModel):
    title: Literal["a day", "a night"]
    animals: list[Animal]
    is_true: bool | None


@pytest.fixture
async def client() -> AsyncIterator[AsyncOpenAI]:
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=1024))
    async with listening(engine) as live, client_of(live.url) as client:
        yield client


async def test_chat_logprobs(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=4, max_tokens=4, temperature=0
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert [len(entry.top_logprobs) for entry in logprobs.content] == [4] * 4
    assert all(entry.logprob == entry.top_logprobs[0].logprob for entry in logprobs.content)


async def test_streamed_logprobs_add_up(client: AsyncOpenAI) -> None:
    async with client.chat.completions.stream(
        model=MODEL, messages=HELLO, logprobs=True, top_logprobs=1, stop=["."], seed=1
    ) as stream:
        answer = await stream.get_final_completion()
    choice = answer.choices[0]
    assert choice.logprobs is not None
    text = "".join(entry.token for entry in choice.logprobs.content or ())
    assert text.strip() == f"{choice.message.content}."


async def test_an_answer_is_parsed(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.parse(
        model=MODEL, messages=HELLO, response_format=Animal, seed=1, max_tokens=200, temperature=1
    )
    assert isinstance(answer.choices[0].message.parsed, Animal)


async def test_a_streamed_answer_is_parsed(client: AsyncOpenAI) -> None:
    for seed in range(20):
        try:
            async with client.chat.completions.stream(
                model=MODEL, messages=HELLO, response_format=Story, seed=seed, max_tokens=300
            ) as stream:
                answer = await stream.get_final_completion()
        except openai.LengthFinishReasonError:  # a weak model's lists may be long
            continue
        assert isinstance(answer.choices[0].message.parsed, Story)
        return
    pytest.fail("every answer was cut")


async def test_an_answer_that_is_cut_is_known_by_its_reason(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        await client.chat.completions.parse(
            model=MODEL, messages=HELLO, response_format=Animal, max_tokens=3
        )


async def test_extensions_go_in_the_extra_body(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        extra_body={"structured_outputs": {"choice": ["left", "right"]}, "return_token_ids": True},
    )
    choice = answer.choices[0]
    assert choice.message.content in {"left", "right"}
    assert choice.finish_reason == "stop"
    assert len(choice.model_extra["token_ids"]) == answer.usage.completion_tokens


async def test_a_schema_that_cannot_be_enforced_is_a_bad_request(client: AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model=MODEL,
            messages=HELLO,
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
        )
    place = "response_format.json_schema.schema.properties.a.uniqueItems"
    assert caught.value.param == place


async def test_completions_are_echoed_with_their_scores(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model=MODEL, prompt="Once upon a time", echo=True, logprobs=1, max_tokens=1, temperature=0
    )
    choice = answer.choices[0]
    assert choice.text.startswith("Once upon a time")
    assert choice.logprobs is not None
    assert choice.logprobs.token_logprobs[0] is None
    assert len(choice.logprobs.tokens) == answer.usage.total_tokens


async def test_the_best_of_several(client: AsyncOpenAI) -> None:
    answer = await client.completions.create(
        model=MODEL, prompt="Once", best_of=4, n=2, max_tokens=5, logprobs=0, seed=7, temperature=1
    )
    means = [
        sum(choice.logprobs.token_logprobs) / len(choice.logprobs.tokens)
        for choice in answer.choices
    ]
    assert means == sorted(means, reverse=True)
    assert len(means) == 2


async def test_several_choices_with_a_seed_differ_and_can_be_repeated(client: AsyncOpenAI) -> None:
    texts = []
    for _ in range(2):
        answer = await client.completions.create(
            model=MODEL, prompt="Once", n=3, max_tokens=12, seed=7, temperature=1
        )
        texts.append([choice.text for choice in answer.choices])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 3


async def test_json_mode(client: AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        response_format={"type": "json_object"},
        max_tokens=400,
        temperature=1,
        seed=2,
        n=8,
    )
    whole = [choice for choice in answer.choices if choice.finish_reason == "stop"]
    assert whole
    for choice in whole:
        assert isinstance(json.loads(choice.message.content or ""), dict)
