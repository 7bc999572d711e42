"""What the formats of a schema imply is enforced too."""

import json
from typing import Any

import pytest

from tercet_engine import EMBEDDED_MODEL, GrammarKind, GrammarSpec, Tokenizer
from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.schema_formats import with_implications

HOST = {"type": "string", "format": "hostname"}
SHORT_HOST = {**HOST, "allOf": [{"maxLength": 253}]}
LONG_NAME = ".".join(["abcdefghi"] * 26)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(EMBEDDED_MODEL)


async def takes(tokenizer: Tokenizer, schema: dict[str, Any], value: str) -> bool:
    """Whether a model held to the schema could write the value."""
    compiler = GrammarCompiler(tokenizer, 4096, {tokenizer.token_id("<|eot_id|>") or 0})
    spec = GrammarSpec(GrammarKind.JSON_SCHEMA, json.dumps(schema))
    constraint = (await compiler.compile(spec)).start()
    try:
        for token in tokenizer.encode(json.dumps(value), add_special_tokens=False):
            constraint.accept(token)
        constraint.mask()
    except GrammarFailed:
        return False
    return constraint.is_complete


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date", "0001-01-01", "0000-01-01"),
        ("date", "2024-02-29", "2023-02-29"),
        ("date", "2000-02-29", "1900-02-29"),
        ("date-time", "2024-02-29T00:00:00Z", "2100-02-29T00:00:00Z"),
        ("time", "11:41:59Z", "11:41:60Z"),
        ("date-time", "1999-12-31T23:59:59Z", "1999-12-31T23:59:60Z"),
        ("date-time", "0010-12-31T23:59:59.5+01:00", "0000-12-31T23:59:59Z"),
        ("hostname", LONG_NAME[:253], LONG_NAME[:254]),
    ],
)
async def test_a_format_takes_what_every_program_can_read(
    tokenizer: Tokenizer, name: str, good: str, bad: str
) -> None:
    for schema in ({"type": "string", "format": name}, {"anyOf": [{"format": name}]}):
        assert await takes(tokenizer, schema, good)
        assert not await takes(tokenizer, schema, bad)


async def test_the_schemas_own_bounds_hold_as_well(tokenizer: Tokenizer) -> None:
    schema = {"type": "string", "format": "date", "pattern": "^19", "allOf": [{"pattern": "1$"}]}
    assert await takes(tokenizer, schema, "1999-01-01")
    for value in ("2001-01-01", "1999-01-02"):
        assert not await takes(tokenizer, schema, value)


@pytest.mark.parametrize(
    ("schema", "changed"),
    [
        (HOST, SHORT_HOST),
        ({"properties": {"const": HOST}}, {"properties": {"const": SHORT_HOST}}),
        ({"anyOf": [HOST, {"items": HOST}]}, {"anyOf": [SHORT_HOST, {"items": SHORT_HOST}]}),
        ({"const": HOST, "enum": [HOST]}, {"const": HOST, "enum": [HOST]}),  # data, no schemas
    ],
)
def test_what_is_implied_is_added_where_schemas_stand(schema: object, changed: object) -> None:
    assert json.loads(with_implications(json.dumps(schema))) == changed


@pytest.mark.parametrize(
    "text", ['{"type": "string"}', '{"date"', '{"items":' * 5000 + '"date"' + "}" * 5000]
)
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert with_implications(text) == text
