"""Questions answered by probabilities, by the official client.

The toy model finds every token as likely as e^-1. So an answer's weight is e to the minus its bytes
and one for the end of its turn, and the probabilities can be told by counting letters.
"""

import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from tercet_engine import EMBEDDED_MODEL, AsyncEngine, load_engine
from tests.server.conftest import Service, listening, serving
from tests.server.test_openai_client import client_of

PREDICATE = {"type": "predicate", "instructions": "It rains."}


@pytest.fixture
async def client(toy_engine: AsyncEngine) -> AsyncIterator[AsyncOpenAI]:
    async with listening(toy_engine) as live, client_of(live.url) as client:
        yield client


async def decide(service: Service, *questions: Any, **fields: Any) -> httpx.Response:
    body = {"input": "Wet streets.", "questions": questions, **fields}
    return await service.client.post("/v1/decisions", json=body)


async def test_a_predicate_is_yes_against_no(client: AsyncOpenAI) -> None:
    answer = await client.decisions.create(
        model="toy", input="Wet streets.", questions=[{**PREDICATE, "name": "rain"}]
    )
    (rain,) = answer.answers
    assert rain.type == "predicate"
    assert rain.name == "rain"
    assert rain.probability == pytest.approx(1 / (1 + math.e))  # "Yes" is a letter longer
    assert answer.model == "toy"


async def test_a_choice_has_a_probability_for_each_option(client: AsyncOpenAI) -> None:
    question = {
        "type": "choice",
        "instructions": "Which?",
        "choices": [
            {"value": "good", "description": "nice"},
            {"value": "good day"},
            {"value": "x"},
        ],
    }
    answer = await client.decisions.create(model="toy", input="a", questions=[question])
    (choice,) = answer.answers
    assert choice.type == "choice"
    weights = [math.exp(-len(text)) for text in ("good", "good day", "x")]
    shares = [weight / sum(weights) for weight in weights]
    assert [item.probability for item in choice.probabilities] == pytest.approx(shares)
    assert [item.value for item in choice.probabilities] == ["good", "good day", "x"]
    assert choice.choice == "x"
    assert choice.confidence == max(item.probability for item in choice.probabilities)
    assert choice.name is None


async def test_booleans_stay_booleans(client: AsyncOpenAI) -> None:
    choices = [{"value": True}, {"value": "true"}, {"value": False}]
    question = {"type": "choice", "instructions": "Which?", "choices": choices}
    answer = await client.decisions.create(model="toy", input="a", questions=[question])
    (choice,) = answer.answers
    assert choice.type == "choice"
    assert [item.value for item in choice.probabilities] == [True, "true", False]
    assert choice.choice is True
    assert choice.probabilities[0].probability == choice.probabilities[1].probability


async def test_a_score_is_the_mean_of_its_levels(client: AsyncOpenAI) -> None:
    levels = [{"label": "ab"}, {"label": "cd", "description": "middling"}, {"label": "ef"}]
    question = {"type": "score", "instructions": "How?", "levels": levels}
    answer = await client.decisions.create(model="toy", input="a", questions=[question])
    (score,) = answer.answers
    assert score.type == "score"
    assert score.score == pytest.approx(1)
    assert score.confidence == pytest.approx(1 / 3)
    assert [(item.value, item.label) for item in score.probabilities] == [
        (0, "ab"),
        (1, "cd"),
        (2, "ef"),
    ]


async def test_questions_share_what_is_before_them(service: Service) -> None:
    answer = (await decide(service, *[PREDICATE] * 3, input="x" * 200)).json()
    assert len(answer["answers"]) == 3
    assert len({str(item) for item in answer["answers"]}) == 1
    usage = answer["usage"]
    assert usage["output_tokens"] == 0
    assert usage["total_tokens"] == usage["input_tokens"]
    per_prompt = usage["input_tokens"] / 6
    # All but the first of six prompts come from the cache, up to their last blocks of 16.
    assert usage["input_tokens_details"]["cached_tokens"] > 5 * (per_prompt - 2 * 16)


async def test_an_answer_does_not_depend_on_the_cache(toy_engine: AsyncEngine) -> None:
    question = {"type": "choice", "instructions": "?", "choices": [{"value": "a"}, {"value": "b"}]}
    async with serving(toy_engine) as service:
        cold, warm = [(await decide(service, question)).json() for _ in range(2)]
    assert cold["answers"] == warm["answers"]
    assert warm["usage"]["input_tokens_details"]["cached_tokens"] > 0


async def test_a_conversation_with_tools_can_be_judged(client: AsyncOpenAI) -> None:
    conversation = [
        {"role": "developer", "content": "Judge."},
        {"role": "user", "content": [{"type": "input_text", "text": "Rain?"}]},
        {"type": "function_call", "call_id": "1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "1", "output": "wet"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Yes."}]},
        {"role": "user", "content": [{"type": "input_json", "data": {"mm": 3}}]},
    ]
    answer = await client.decisions.create(model="toy", input=conversation, questions=[PREDICATE])
    assert answer.answers[0].type == "predicate"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image"}]}]},
            "input[0].content[0]",
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "1", "output": "a"}]},
            "input",
        ),
        ({"questions": []}, "questions"),
        ({"questions": [PREDICATE] * 401}, "questions"),
        ({"questions": [{"type": "guess", "instructions": "a"}]}, "questions[0]"),
        ({"questions": [{"type": "predicate"}]}, "questions[0].instructions"),
        (
            {"questions": [{"type": "choice", "instructions": "", "choices": [{"value": "a"}]}]},
            "questions[0].choices",
        ),
        (
            {
                "questions": [
                    {"type": "choice", "instructions": "", "choices": [{"value": "a"}] * 2}
                ]
            },
            "questions[0].choices",
        ),
        ({"model": "other"}, "model"),
    ],
)
async def test_what_is_wrong_is_named(service: Service, fields: dict[str, Any], param: str) -> None:
    response = await decide(service, PREDICATE, **fields)
    assert 400 <= response.status_code < 500
    assert response.json()["error"]["param"] == param


async def test_too_many_options_together_are_refused(service: Service) -> None:
    choices = [{"value": str(number)} for number in range(255)]
    question = {"type": "choice", "instructions": "", "choices": choices}
    error = (await decide(service, *[question] * 17)).json()["error"]
    assert "at most 4096 choices and levels together" in error["message"]
    assert error["message"].endswith("got 4335")


async def test_an_input_too_long_is_told_the_limit(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await client.decisions.create(model="toy", input="x" * 600, questions=[PREDICATE])
    assert (raised.value.code, raised.value.param) == ("context_length_exceeded", "input")


async def test_special_tokens_in_an_input_are_text(service: Service) -> None:
    plain = (await decide(service, PREDICATE, input="a|eot_id|")).json()["usage"]["input_tokens"]
    spelt = (await decide(service, PREDICATE, input="<|eot_id|>")).json()["usage"]["input_tokens"]
    assert spelt - plain == 2  # for each of two prompts one byte more


async def test_the_embedded_models_answers_are_its_own_probabilities() -> None:
    """The same sums as by tokenising the whole turns and asking for the scores of a prompt."""
    turn = "Wet streets.\n\nIt rains.\n\nIs this true? Answer Yes or No."
    engine = load_engine(EMBEDDED_MODEL)
    try:
        async with serving(engine) as service:
            answer = (await decide(service, PREDICATE)).json()["answers"][0]
            sums = [await _score(service, turn, option) for option in ("Yes", "No")]
    finally:
        engine.close()
    expected = 1 / (1 + math.exp(sums[1] - sums[0]))
    assert answer["probability"] == pytest.approx(expected, abs=1e-5)
    assert 0 < answer["probability"] < 1


async def _score(service: Service, question: str, answer: str) -> float:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    body = {"messages": messages, "add_generation_prompt": False}
    tokens = (await service.client.post("/tokenize", json=body)).json()["tokens"]
    scored = await service.complete(prompt=tokens, max_tokens=0, prompt_logprobs=0)
    rows = scored.json()["choices"][0]["prompt_logprobs"]
    return sum(next(iter(row.values()))["logprob"] for row in rows if row)
