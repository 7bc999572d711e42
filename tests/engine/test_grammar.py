"""Grammars over the embedded model: what they allow, what they refuse, what limits them."""

import json
import random

import numpy as np
import pytest

from tercet_engine import EMBEDDED_MODEL, Tokenizer
from tercet_engine.errors import GrammarFailed, InvalidGrammar
from tercet_engine.grammar import Constraint, GrammarKind, GrammarSpec
from tercet_engine.grammar_compiler import (
    MAX_CACHED_GRAMMARS,
    MAX_GRAMMAR_BYTES,
    GrammarCompiler,
)
from tests.oracle.toy_engine import EOS, VOCAB_SIZE, byte_tokenizer

VOCAB = 4096


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(EMBEDDED_MODEL)


@pytest.fixture
def end(tokenizer: Tokenizer) -> int:
    token = tokenizer.token_id("<|eot_id|>")
    assert token is not None
    return token


@pytest.fixture
def compiler(tokenizer: Tokenizer, end: int) -> GrammarCompiler:
    return GrammarCompiler(tokenizer, VOCAB, {end})


def allowed(constraint: Constraint) -> set[int]:
    mask = constraint.mask()
    return set(np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist())


def go_on(constraint: Constraint, rng: random.Random, num_tokens: int) -> list[set[int]]:
    """Take random tokens; return what was allowed in their places."""
    masks = []
    for _ in range(num_tokens):
        masks.append(allowed(constraint))
        constraint.accept(rng.choice(sorted(masks[-1])))
    return masks


def regex(text: str) -> GrammarSpec:
    return GrammarSpec(GrammarKind.REGEX, text, "regex")


async def test_a_choice_allows_the_beginnings_of_its_strings_and_then_the_end(
    compiler: GrammarCompiler, tokenizer: Tokenizer, end: int
) -> None:
    grammar = await compiler.compile(GrammarSpec(GrammarKind.CHOICE, '["yes", "no"]'))
    constraint = grammar.start()

    beginnings = {tokenizer.decode([token]) for token in allowed(constraint)}
    assert beginnings <= {"y", "ye", "yes", "n", "no"}
    assert {"y", "n"} <= beginnings
    for token in tokenizer.encode("no", add_special_tokens=False):
        constraint.accept(token)
    assert allowed(constraint) == {end}
    assert constraint.is_complete


async def test_special_tokens_are_never_allowed_but_the_end(
    compiler: GrammarCompiler, tokenizer: Tokenizer, end: int
) -> None:
    grammar = await compiler.compile(regex(r"(?s:.*)"))

    special = {tokenizer.token_id(text) for text in tokenizer.special_tokens}
    assert allowed(grammar.start()) & special == {end}


async def test_every_completion_starts_at_the_beginning(
    compiler: GrammarCompiler, tokenizer: Tokenizer
) -> None:
    grammar = await compiler.compile(regex("a|b"))
    first, second = grammar.start(), grammar.start()
    (a,) = tokenizer.encode("a", add_special_tokens=False)
    first.accept(a)

    assert a in allowed(second)
    assert a not in allowed(first)


async def test_a_token_that_was_not_allowed_ends_the_completion(compiler: GrammarCompiler) -> None:
    constraint = (await compiler.compile(regex("a"))).start()

    constraint.accept(0)
    for _ in range(2):
        with pytest.raises(GrammarFailed, match="too complex"):
            allowed(constraint)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (GrammarSpec(GrammarKind.JSON_SCHEMA, '{"not": {}}'), "response_format cannot be enforced"),
        (GrammarSpec(GrammarKind.JSON_SCHEMA, '{"type": "strng"}'), "strng"),
        (GrammarSpec(GrammarKind.JSON_SCHEMA, "{"), "response_format cannot be"),
        (regex("(?=a)"), "regex cannot be enforced"),
        (GrammarSpec(GrammarKind.GBNF, "start ::= [", "grammar"), "grammar cannot be"),
        (GrammarSpec(GrammarKind.LARK, "start: missing", "grammar"), "grammar cannot be"),
        (regex("a" * (MAX_GRAMMAR_BYTES + 1)), f"at most {MAX_GRAMMAR_BYTES} are taken"),
    ],
)
async def test_what_cannot_be_enforced_is_refused(
    compiler: GrammarCompiler, spec: GrammarSpec, words: str
) -> None:
    with pytest.raises(InvalidGrammar, match=words) as caught:
        await compiler.compile(spec)
    assert caught.value.param == spec.param


async def test_a_model_without_an_end_token_takes_no_grammar(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidGrammar, match="no token that ends an answer"):
        await GrammarCompiler(tokenizer, VOCAB, ()).compile(regex("a"))


async def test_what_was_compiled_is_kept_and_the_least_recently_used_forgotten(
    compiler: GrammarCompiler,
) -> None:
    first = await compiler.compile(regex("a0"))
    assert await compiler.compile(regex("a0")) is first
    for index in range(1, MAX_CACHED_GRAMMARS + 1):
        await compiler.compile(regex(f"a{index}"))

    assert await compiler.compile(regex("a0")) is not first


async def test_a_schema_allows_only_what_validates(
    compiler: GrammarCompiler, tokenizer: Tokenizer, end: int
) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 10, "maximum": 12}},
        "required": ["n"],
        "additionalProperties": False,
    }
    spec = GrammarSpec(GrammarKind.JSON_SCHEMA, json.dumps(schema))
    constraint = (await compiler.compile(spec)).start()
    for token in tokenizer.encode('{"n":1', add_special_tokens=False):
        assert token in allowed(constraint)
        constraint.accept(token)

    following = {tokenizer.decode([token])[:1] for token in allowed(constraint)}
    assert following == {"0", "1", "2"}


async def test_completions_do_not_use_up_what_others_of_their_grammar_need(
    compiler: GrammarCompiler, tokenizer: Tokenizer, end: int
) -> None:
    hungry = regex("([a-z ]*(a|e|i)[a-z ]{25}){3}b")  # 160 random tokens make 50,000 states
    alone = go_on((await compiler.compile(hungry)).start(), random.Random(1), 30)

    grammar = await GrammarCompiler(tokenizer, VOCAB, {end}).compile(hungry)
    waiting, rng = grammar.start(), random.Random(1)
    masks = go_on(waiting, rng, 10)
    go_on(grammar.start(), random.Random(2), 300)

    assert masks + go_on(waiting, rng, 20) == alone
    assert go_on(grammar.start(), random.Random(1), 30) == alone


@pytest.mark.parametrize(
    "text", ["([a-z ]{0,9}(a|e|i)[a-z ]{3}){1,3000}", "([a-z ]*(a|e|i)[a-z ]{25}){3}b"]
)
async def test_a_new_matcher_goes_on_from_wherever_a_completion_is(
    compiler: GrammarCompiler, text: str
) -> None:
    grammar = await compiler.compile(regex(text))
    constraint, rng = grammar.start(), random.Random(3)
    for num_tokens in range(120):
        tokens = allowed(constraint)
        if num_tokens % 17 == 0:
            path = tuple(constraint._tokens)
            renewed = grammar.renew(path, is_wanted=lambda: True).result()
            assert renewed is not None, f"after {num_tokens} tokens"
            assert renewed.mask.tolist() == constraint.known_mask().tolist()
        constraint.accept(rng.choice(sorted(tokens)))


async def test_each_completion_is_where_its_own_tokens_are() -> None:
    compiler = GrammarCompiler(byte_tokenizer(), VOCAB_SIZE, {EOS})
    grammar = await compiler.compile(regex("aa"))
    one, other = grammar.start(), grammar.start()
    a = byte_tokenizer().encode("a")[-1]
    for constraint in (one, other):
        constraint.accept(a)
        assert allowed(constraint) == {a}
    one.accept(a)
    assert allowed(one) == {EOS}
