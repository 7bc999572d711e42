"""Structured output, in every spelling, over the embedded model: whole answers obey."""

import json
import re
from typing import Any

import pytest

from tercet_engine import AsyncEngine
from tests.server.conftest import Service, serving
from tests.server.test_streaming import events_of

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
LIST_OF_DIGITS = 'root ::= "[" [0-9] ("," [0-9])? "]"'


def named(schema: object, **fields: object) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "person", "schema": schema, **fields},
    }


def check_person(text: str) -> None:
    person = json.loads(text)
    assert set(person) == {"name", "age"}
    assert 1 <= len(person["name"]) <= 12
    assert person["age"] in range(121)


async def answer_to(service: Service, **fields: Any) -> dict[str, Any]:
    response = await service.chat(**{"temperature": 1, "max_tokens": 100, **fields})
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


async def refusal_of(service: Service, **fields: Any) -> dict[str, Any]:
    response = await service.chat(**fields)
    assert response.status_code == 400, response.text
    return response.json()["error"]


@pytest.mark.parametrize("strict", [True, False, None])
@pytest.mark.parametrize("seed", range(5))
async def test_a_schema_is_obeyed_strict_or_not(
    embedded: Service, strict: bool | None, seed: int
) -> None:
    choice = await answer_to(
        embedded, response_format=named(PERSON, strict=strict), seed=seed, temperature=2
    )
    check_person(choice["message"]["content"])
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "fields",
    [
        {"structured_outputs": {"json": PERSON}},
        {"structured_outputs": {"json": json.dumps(PERSON)}},
        {"guided_json": PERSON},
        {"guided_json": json.dumps(PERSON)},
        {"json_schema": PERSON},
        {"response_format": {"type": "json_object", "schema": PERSON}},
    ],
)
async def test_a_schema_has_many_spellings(embedded: Service, fields: dict[str, Any]) -> None:
    choice = await answer_to(embedded, **fields)
    check_person(choice["message"]["content"])


@pytest.mark.parametrize(
    "fields",
    [
        {"structured_outputs": {"regex": "[a-c]{3}-[0-9]{1,4};"}},
        {"guided_regex": "[a-c]{3}-[0-9]{1,4};"},
        {"regex": "[a-c]{3}-[0-9]{1,4};"},
    ],
)
async def test_a_regular_expression_is_obeyed_from_end_to_end(
    embedded: Service, fields: dict[str, Any]
) -> None:
    choice = await answer_to(embedded, **fields)
    assert re.fullmatch("[a-c]{3}-[0-9]{1,4};", choice["message"]["content"])
    assert choice["finish_reason"] == "stop"


@pytest.mark.parametrize("name", ["choice", "guided_choice"])
async def test_one_of_the_choices_is_made(embedded: Service, name: str) -> None:
    choices = ["Tom", "Anna", "the cat"]
    texts = {
        (await answer_to(embedded, **{name: choices}, seed=seed, temperature=2))["message"][
            "content"
        ]
        for seed in range(12)
    }
    assert texts <= set(choices)
    assert len(texts) > 1


async def test_a_space_at_the_beginning_is_part_of_the_answer(embedded: Service) -> None:
    choice = await answer_to(embedded, choice=["  yes"])
    assert choice["message"]["content"] == "  yes"


@pytest.mark.parametrize(
    "fields",
    [
        {"structured_outputs": {"grammar": LIST_OF_DIGITS}},
        {"guided_grammar": LIST_OF_DIGITS},
        {"grammar": LIST_OF_DIGITS},
    ],
)
async def test_a_grammar_is_obeyed(embedded: Service, fields: dict[str, Any]) -> None:
    choice = await answer_to(embedded, **fields)
    assert re.fullmatch(r"\[\d(,\d)?\]", choice["message"]["content"])


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"structured_outputs": {"json_object": True}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "any"}}},
    ],
)
async def test_a_json_object_is_any_object(embedded: Service, fields: dict[str, Any]) -> None:
    choices = [await answer_to(embedded, **fields, seed=seed, max_tokens=300) for seed in range(8)]
    whole = [choice for choice in choices if choice["finish_reason"] == "stop"]
    assert whole
    for choice in whole:
        assert isinstance(json.loads(choice["message"]["content"]), dict)


async def test_completions_are_constrained_as_chat_is(embedded: Service) -> None:
    answer = (
        await embedded.complete(
            prompt=["Tom is", "Anna is"], n=2, guided_json=PERSON, max_tokens=100, temperature=1
        )
    ).json()
    for choice in answer["choices"]:
        check_person(choice["text"])
        assert choice["finish_reason"] == "stop"


async def test_a_stream_joined_is_the_whole_answer(embedded: Service) -> None:
    fields = {"response_format": named(PERSON), "seed": 3, "temperature": 1}
    whole = (await answer_to(embedded, **fields))["message"]["content"]
    events = events_of(await embedded.chat(stream=True, max_tokens=100, **fields))
    deltas = [event["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(deltas) == whole


async def test_an_answer_that_is_cut_says_so(embedded: Service) -> None:
    choice = await answer_to(embedded, response_format=named(PERSON), max_tokens=5)
    assert choice["finish_reason"] == "length"


async def test_an_answer_is_whole_although_the_end_is_to_be_ignored(embedded: Service) -> None:
    for fields in ({"ignore_eos": True}, {"min_tokens": 90}):
        choice = await answer_to(embedded, response_format=named(PERSON), **fields)
        check_person(choice["message"]["content"])
        assert choice["finish_reason"] == "stop"


async def test_what_pushes_against_the_schema_does_not_break_it(embedded: Service) -> None:
    """Biases, penalties and few candidates are heeded only among what is allowed."""
    tokens = {str(token): -100 for token in range(300)}
    for fields in (
        {"logit_bias": tokens},
        {"logit_bias": {"400": 100}},
        {"top_k": 1},
        {"top_p": 0.01},
        {"min_p": 1},
        {"repetition_penalty": 10, "frequency_penalty": 2, "presence_penalty": 2},
    ):
        choice = await answer_to(embedded, response_format=named(PERSON), **fields)
        check_person(choice["message"]["content"])


async def test_logprobs_under_a_schema_are_the_models_own(embedded: Service) -> None:
    choice = await answer_to(embedded, response_format=named(PERSON), logprobs=True, top_logprobs=1)
    first = choice["logprobs"]["content"][0]
    assert first["token"].startswith("{")
    assert first["logprob"] < first["top_logprobs"][0]["logprob"]  # free, it would tell a story


async def test_a_constrained_answer_is_the_same_in_company(embedded: Service) -> None:
    fields = {"guided_json": PERSON, "seed": 6, "temperature": 1, "max_tokens": 100}
    alone = (await embedded.complete(prompt="Tom", **fields)).json()["choices"]
    together = (await embedded.complete(prompt=["Tom", "A cat", "It"], **fields)).json()
    assert together["choices"][0]["text"] == alone[0]["text"]


# --- what is refused ---


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "strng"}, ".type"),
        ({"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=a)b"}}},
         ".properties.a.pattern"),
        ({"type": "array", "items": {"not": {"type": "string"}}}, ".items.not"),
        ({"type": "array", "uniqueItems": True}, ".uniqueItems"),
        ({"$ref": "#/$defs/none"}, ".$ref"),
        ({"type": "string", "format": "no-such"}, ".format"),
    ],
)  # fmt: skip
async def test_what_cannot_be_enforced_is_refused_by_its_path(
    service: Service, schema: dict[str, Any], path: str
) -> None:
    error = await refusal_of(service, response_format=named(schema))
    assert error["param"] == f"response_format.json_schema.schema{path}"
    assert error["code"] == "invalid_grammar"
    assert error["message"].startswith(f"{error['param']} cannot be enforced: ")


async def test_a_schema_has_no_say_in_how_it_is_enforced(service: Service) -> None:
    schema = {"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True}}
    error = await refusal_of(service, guided_json=schema)
    assert error["param"] == "guided_json.uniqueItems"


async def test_a_schemas_options_do_not_change_what_json_is(embedded: Service) -> None:
    options = {"item_separator": ";", "key_separator": "=", "whitespace_pattern": "x"}
    choice = await answer_to(embedded, guided_json={**PERSON, "x-guidance": options})
    check_person(choice["message"]["content"])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"regex": "(a"}, "regex"),
        ({"guided_regex": "(?=a)"}, "guided_regex"),
        ({"grammar": "root ::= nothing"}, "grammar"),
        ({"guided_json": "{not json"}, "guided_json"),
        ({"guided_json": '"text"'}, "guided_json"),
        ({"guided_json": "[" * 100_000}, "guided_json"),
        ({"guided_json": '{"items":' * 20_000 + "{}" + "}" * 20_000}, "guided_json"),
        ({"guided_json": "x" * 300_000}, "guided_json"),
        ({"guided_json": {"const": "x" * 300_000}}, "guided_json"),
        ({"guided_json": 5}, "guided_json"),
        ({"json_schema": [PERSON]}, "json_schema"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_choice": [""]}, "guided_choice[0]"),
        ({"guided_choice": ["a"] * 1025}, "guided_choice"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_object", "schema": 1}}, "response_format.schema"),
        ({"structured_outputs": {"structural_tag": "x"}}, "structured_outputs.structural_tag"),
        ({"structured_outputs": {"regex": "a", "json": {}}}, "structured_outputs.regex"),
        ({"regex": "a", "grammar": "b"}, "grammar"),
        ({"regex": "a", "response_format": {"type": "json_object"}}, "regex"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused_by_its_name(
    service: Service, fields: dict[str, Any], param: str
) -> None:
    assert (await refusal_of(service, **fields))["param"] == param


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "text"}},
        {"response_format": None},
        {"structured_outputs": {}},
        {"structured_outputs": {"json_object": False}},
        {"grammar": ""},
        {"regex": ""},
        {"guided_json": None},
    ],
)
async def test_values_that_ask_for_nothing_ask_for_nothing(
    service: Service, fields: dict[str, Any]
) -> None:
    free = (await service.chat(max_tokens=8)).json()["choices"]
    assert (await service.chat(max_tokens=8, **fields)).json()["choices"] == free


async def test_a_huge_number_in_a_schema_is_no_bug(service: Service) -> None:
    body = '{"messages":[{"role":"user","content":"x"}],"guided_json":{"const":%s}}'
    for number in ("9" * 5000, "9" * 4000, "1e999", "-1e999", "NaN"):
        response = await service.client.post(
            "/v1/chat/completions",
            content=body % number,
            headers={"content-type": "application/json"},
        )
        assert response.status_code in {200, 400}, (number[:5], response.text)


async def test_others_are_answered_while_a_large_schema_is_compiled(
    toy_engine: AsyncEngine,
) -> None:
    """Schemas are compiled on a thread of their own."""
    import asyncio

    properties = {f"property number {i}": {"type": "string"} for i in range(3000)}
    async with serving(toy_engine) as service:
        large = asyncio.create_task(
            service.chat(guided_json={"type": "object", "properties": properties}, max_tokens=1)
        )
        other = await service.chat(max_tokens=3)
        assert other.status_code == 200
        assert (await large).status_code in {200, 400}
