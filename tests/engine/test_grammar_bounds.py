"""Grammars that would take minutes to compile are refused before anybody tries."""

import json

import pytest

from tercet_engine import EMBEDDED_MODEL, Tokenizer
from tercet_engine.errors import InvalidGrammar
from tercet_engine.grammar import GrammarKind, GrammarSpec
from tercet_engine.grammar_bounds import MAX_MULTIPLE, MAX_RULES, find_excess
from tercet_engine.grammar_compiler import GrammarCompiler

MANY_PROPERTIES = json.dumps(
    {"type": "object", "properties": {f"property {i}": {"type": "string"} for i in range(1000)}}
)


def multiples(*numbers: float) -> str:
    return json.dumps({"allOf": [{"type": "number", "multipleOf": number} for number in numbers]})


def chain(num_rules: int) -> str:
    rules = [f"r{i} ::= r{i + 1} r{i + 1}" for i in range(num_rules - 2)]
    return "\n".join(["root ::= r0", *rules, f'r{num_rules - 2} ::= "a"'])


@pytest.mark.parametrize(
    "text",
    [
        multiples(0.01, 5, 3600, 1024),
        multiples(MAX_MULTIPLE),
        multiples(1e300, 1e-5),
        '{"multipleOf": "x"}',
    ],
)
def test_ordinary_multiples_are_taken(text: str) -> None:
    assert find_excess(GrammarKind.JSON_SCHEMA, text) is None


@pytest.mark.parametrize(
    "text",
    [
        multiples(MAX_MULTIPLE + 1),
        multiples(1234.5678),
        multiples(997, 991),
        '{"multipleO\\u0066": 9999991}',
        '{"multipleOf" :\n 99999910000}',
    ],
)
def test_multiples_beyond_the_bound_are_not(text: str) -> None:
    for kind in (GrammarKind.JSON_SCHEMA, GrammarKind.LARK, GrammarKind.GBNF):
        assert "multipleOf is over 131072" in (find_excess(kind, text) or "")


def test_rules_have_a_bound() -> None:
    assert find_excess(GrammarKind.GBNF, chain(MAX_RULES)) is None
    assert "501 rules; at most 500" in (find_excess(GrammarKind.GBNF, chain(501)) or "")
    lark = "start: r0\n" + "".join(f"r{i}: r{i + 1}\n" for i in range(600))
    assert "601 rules" in (find_excess(GrammarKind.LARK, lark) or "")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (GrammarKind.REGEX, "(a{1000}){1000}"),
        (GrammarKind.REGEX, "[^\\s\\S]"),
        (GrammarKind.JSON_SCHEMA, MANY_PROPERTIES),
        (GrammarKind.JSON_SCHEMA, '{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}'),
    ],
)
async def test_what_fails_at_its_first_token_is_refused_before_it(
    kind: GrammarKind, text: str
) -> None:
    tokenizer = Tokenizer.from_folder(EMBEDDED_MODEL)
    compiler = GrammarCompiler(tokenizer, 4096, {tokenizer.token_id("<|eot_id|>") or 0})
    with pytest.raises(InvalidGrammar, match="cannot be enforced"):
        await compiler.compile(GrammarSpec(kind, text, "regex"))
