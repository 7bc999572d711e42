"""Texts that must obey many patterns at once are refused before anything is computed for them."""

import json
import time
from typing import Any

import pytest

from tercet_engine.errors import GrammarFailed, InvalidGrammar
from tercet_engine.grammar import GrammarKind, GrammarSpec
from tercet_engine.grammar_backend import notation
from tercet_engine.grammar_compiler import GrammarCompiler
from tercet_engine.grammar_intersections import MAX_OPERATORS, MAX_PATTERNS, find_intersection
from tests.oracle.toy_engine import EOS, VOCAB_SIZE, byte_tokenizer


def string(index: int = 0, num_alternatives: int = 1) -> dict[str, Any]:
    alternatives = "|".join(
        f"[a{chr(98 + (7 * j + index) % 20)}].{{{index + j}}}" for j in range(num_alternatives)
    )
    return {"type": "string", "pattern": f"^(x|bbb.*({alternatives}))$"}


def strings(count: int) -> list[dict[str, Any]]:
    return [string(index) for index in range(count)]


def of_object(schema: Any, **others: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": schema}, **others}


def found(kind: GrammarKind, text: str) -> str | None:
    return find_intersection(notation(GrammarSpec(kind, text)))


def found_in_schema(schema: Any) -> str | None:
    text = json.dumps(schema)
    in_lark = found(GrammarKind.LARK, f'start: "<" %json {text}\n')
    alone = found(GrammarKind.JSON_SCHEMA, text)
    assert in_lark == alone
    return alone


MANY = MAX_PATTERNS + 1
TOO_MANY = {
    "a text": {"allOf": strings(MANY)},
    "a text within": of_object({"allOf": strings(MANY)}),
    "by siblings": {**string(), "allOf": strings(MAX_PATTERNS)},
    "by branches of objects": {"allOf": [of_object(one) for one in strings(MANY)]},
    "by references": {
        "$ref": "#/$defs/0",
        "$defs": {str(i): {**string(i), "$ref": f"#/$defs/{i + 1}"} for i in range(MANY)},
    },
    "by references that are escaped": {
        "allOf": [{"$ref": "#/$defs/a%20b~1c"}, {"type": "string", "format": "uuid"}],
        "$defs": {"a b/c": {"allOf": strings(MAX_PATTERNS)}},
    },
    "by names": {
        "allOf": [{"$ref": "#other"}],
        "$defs": {"a": {"$anchor": "other", "allOf": strings(MANY)}},
    },
    "by addresses": {
        "allOf": [{"$ref": "http://example.org/a"}],
        "$defs": {"a": {"$id": "http://example.org/a", "allOf": strings(MANY)}},
    },
    "by a pointer that python would not follow": {
        "$ref": "#/$defs/a/allOf/+0",
        "$defs": {"a": {"allOf": [{"allOf": strings(MANY)}]}},
    },
    "by addresses of an old draft": {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "allOf": [{"$ref": "#/definitions/b"}],
        "definitions": {"a": {"id": "http://example.org/a", "allOf": strings(MANY)}, "b": {}},
    },
    "by names and patterns of names": {
        "properties": {"a": {"allOf": strings(2)}},
        "patternProperties": {"^a": {"allOf": strings(2)}},
    },
    "by a circle that was entered elsewhere": {
        "anyOf": [{"$ref": "#/$defs/a"}, {"allOf": [{"$ref": "#/$defs/b"}, *strings(1)]}],
        "$defs": {
            "a": {**string(), "properties": {"c": {"$ref": "#/$defs/b"}}},
            "b": {"allOf": [*strings(2), {"$ref": "#/$defs/a"}]},
        },
    },
    "in lists": {"items": {"allOf": strings(MANY)}},
    "in places": {"prefixItems": [{"anyOf": [{}, {"allOf": strings(MANY)}]}]},
    "in other properties": {"additionalProperties": {"allOf": strings(MANY)}},
}
FEW = {
    "many properties": {"properties": {f"p{i}": one for i, one in enumerate(strings(40))}},
    "alternatives": {"anyOf": strings(40)},
    "as many as may be": {"allOf": strings(MAX_PATTERNS)},
    "references beside each other": {
        "$id": "http://example.org/root",
        "properties": {f"p{i}": {"$ref": "#/$defs/a"} for i in range(40)},
        "$defs": {"a": string()},
    },
    "trees": of_object({"$ref": "#"}, patternProperties={"^b": string()}),
    "dates in all branches": {
        "allOf": [of_object({"type": "string", "format": "date-time"}) for _ in range(MAX_PATTERNS)]
    },
    "a property that is called $id": {
        "properties": {f"p{i}": {"$ref": "#/$defs/a"} for i in range(40)} | {"$id": string()},
        "$defs": {"a": string()},
    },
    "data": {"const": {"allOf": strings(40)}},
}


@pytest.mark.parametrize("schema", TOO_MANY.values(), ids=TOO_MANY)
def test_too_many_patterns_for_one_text_are_found(schema: Any) -> None:
    assert f"at most {MAX_PATTERNS} may" in (found_in_schema(schema) or "")


@pytest.mark.parametrize("schema", FEW.values(), ids=FEW)
def test_many_patterns_for_many_texts_are_not(schema: Any) -> None:
    assert found_in_schema(schema) is None


def test_a_chain_of_references_longer_than_the_counter_goes_is_refused() -> None:
    chain = {str(i): {"items": {"$ref": f"#/$defs/{i + 1}"}} for i in range(3000)}
    schema = {"$ref": "#/$defs/0", "$defs": chain}
    assert found_in_schema(schema) is None
    assert (
        found_in_schema({**schema, "anyOf": strings(MANY)})
        == "its schema is too deep or too intricate"
    )


@pytest.mark.parametrize(
    "lark",
    [
        "start: A\nA: " + " & ".join(["/a/"] * (MAX_OPERATORS + 2)),
        "start: A\nA: " + " | ".join(["(~/a/)"] * (MAX_OPERATORS + 1)),
        'start: <|"|> A\nA: ' + " & ".join(["/a/"] * (MAX_OPERATORS + 2)) + ' "b"',
        '// "\nstart: A\nA: ' + " & ".join(["/a/"] * (MAX_OPERATORS + 2)) + ' "b"',
        'start: A # "\nA: /"/ ' + "& ~".join(["/a/"] * (MAX_OPERATORS + 2)) + ' "\\"" "b"',
    ],
)
def test_too_many_operators_are_found(lark: str) -> None:
    assert f"at most {MAX_OPERATORS} are taken" in (found(GrammarKind.LARK, lark) or "")


@pytest.mark.parametrize(
    "hidden",
    ['"z" %json {"const":"\x7f / "}', '"z" %regex {"substring_chars":"\x7f / "}', "<a\x1c/>"],
)
def test_what_lexers_read_differently_is_refused(hidden: str) -> None:
    lark = f"unused: {hidden}\nstart: A\nA: " + " & ".join(["/a/"] * 9)
    assert found(GrammarKind.LARK, lark) == "it has control characters"


@pytest.mark.parametrize("lark", ['start: "a" // %json x', 'start: "%json [[1,"'])
def test_schemas_that_cannot_be_read_are_refused(lark: str) -> None:
    assert found(GrammarKind.LARK, lark) == "what follows its %json is not JSON"


@pytest.mark.parametrize(
    "text", ["start: " + '\\"' * 60_000, "start: " + "\\/" * 60_000, "%json[[1," * 20_000]
)
def test_counting_takes_as_long_as_reading(text: str) -> None:
    started = time.thread_time()
    found(GrammarKind.LARK, text)
    assert time.thread_time() - started < 5  # it took minutes


def test_a_list_of_grammars_is_looked_through_too() -> None:
    many = "start: A\nA: " + " & ".join(["/a/"] * (MAX_OPERATORS + 2))
    text = json.dumps({"grammars": [{"json_schema": {}}, {"lark_grammar": many}]})
    assert "operators" in (found(GrammarKind.LARK, f"\n {text}") or "")


@pytest.mark.parametrize("text", ["{", '{"grammars": 1}', '{"grammars": [1]}', '{"a": "~~~~~~"}'])
def test_what_is_none_is_left_to_who_compiles_it(text: str) -> None:
    assert found(GrammarKind.LARK, text) is None


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (GrammarKind.LARK, 'start: "&&&&&&" /[&~]&&&&~~~~\\/&&&/ // &&&&&&&\n # ~~~~~~~'),
        (GrammarKind.LARK, "start: <|&&&&&&~~|> A\nA: /a/ & ~/c/"),
        (GrammarKind.REGEX, "a&&&&&&b~~~~~~~/&&&"),
        (GrammarKind.GBNF, 'root ::= [&~&~&~&~&~"]+ "&&&&&&&"'),
        (GrammarKind.CHOICE, '["&&&&&&&&", "~~~~~~~~", "/&&&&&&&"]'),
    ],
)
def test_what_only_looks_like_them_is_not(kind: GrammarKind, text: str) -> None:
    assert found(kind, text) is None


async def test_the_engine_halts_for_no_text_of_as_many_patterns_as_may_be() -> None:
    """Without a bound, four of fifty alternatives take seconds at one letter, and five minutes."""
    tokenizer = byte_tokenizer()
    compiler = GrammarCompiler(tokenizer, VOCAB_SIZE, {EOS})
    many = [string(index, num_alternatives=200) for index in range(MAX_PATTERNS)]
    spec = GrammarSpec(
        GrammarKind.JSON_SCHEMA,
        json.dumps(of_object({"allOf": many}, required=["a"])),
    )
    constraint = (await compiler.compile(spec)).start()
    started = time.thread_time()
    try:
        for token in tokenizer.encode('{"a":"bbbabab', add_special_tokens=False):
            constraint.mask()
            constraint.accept(token)
    except GrammarFailed:
        pass
    assert time.thread_time() - started < 5  # a bound for what is unbounded, not a speed


async def test_it_is_the_compiler_that_refuses() -> None:
    compiler = GrammarCompiler(byte_tokenizer(), VOCAB_SIZE, {EOS})
    spec = GrammarSpec(GrammarKind.JSON_SCHEMA, json.dumps({"allOf": strings(MANY)}))
    with pytest.raises(InvalidGrammar, match="apply to one text"):
        await compiler.compile(spec)
