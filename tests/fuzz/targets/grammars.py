"""Schemas and grammars that clients offer: compiled and tried, or refused in words, in time.

What was compiled is followed for a few tokens, since its steps happen on the engine's thread.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tercet_engine import InvalidGrammar
from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar import Constraint, GrammarKind, GrammarSpec
from tercet_engine.grammar_compiler import GrammarCompiler
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.refusals import refused
from tests.fuzz.target import Finding, Target
from tests.oracle.toy_engine import EOS, EOT, VOCAB_SIZE, byte_tokenizer

_KINDS: Final = {kind.value: kind for kind in GrammarKind}
_NUM_STEPS: Final = 12
_MAX_STEP_SECONDS: Final = 1.0
_WORDS: Final = (
    *("type", "properties", "required", "items", "prefixItems", "enum", "const", "allOf", "anyOf"),
    *("oneOf", "not", "$ref", "$defs", "pattern", "format", "minLength", "maxLength", "minItems"),
    *("maxItems", "minimum", "maximum", "exclusiveMinimum", "multipleOf", "additionalProperties"),
    *("patternProperties", "propertyNames", "minProperties", "if", "then", "else", "x-guidance"),
    *("dependentSchemas", "unevaluatedProperties", "uniqueItems", "contains", "default", "a", "b"),
)
_VALUES: Final = (
    *("object", "array", "string", "number", "integer", "boolean", "null", "date", "time", "uuid"),
    *(
        "#",
        "#/$defs/a",
        "hostname",
        "^[a-z]+$",
        "(a|b)*c",
        "(?=a)",
        "a{1,1000}",
        "[^",
        ".*",
        "email",
    ),
    *(
        'root ::= "a" root | "b"',
        'start: "a" start?',
        "start: /a+/",
        "%json {}",
        *_KINDS,
        0.01,
        100,
    ),
    *({"type": "string"}, {"$ref": "#"}, {"enum": ["a", 1, None]}, {"type": ["string", "null"]}),
)


def seeds() -> Sequence[bytes]:
    """One of each kind, and schemas with most keywords."""
    person = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "pattern": "^[a-z]{2,5}$", "maxLength": 9},
            "b": {"type": "array", "items": {"$ref": "#/$defs/c"}, "minItems": 1, "maxItems": 3},
            "d": {"type": "integer", "minimum": 0, "maximum": 99, "multipleOf": 3},
            "e": {"type": "string", "format": "date-time"},
        },
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"c": {"anyOf": [{"const": 1}, {"enum": ["x", None]}, {"type": "boolean"}]}},
    }
    cases: list[dict[str, Any]] = [
        {"kind": GrammarKind.JSON_SCHEMA, "text": person},
        {"kind": GrammarKind.JSON_SCHEMA, "text": {"allOf": [{"type": "object"}, {"not": {}}]}},
        {"kind": GrammarKind.JSON_SCHEMA, "text": {"type": "integer", "minimum": -(2**63)}},
        {"kind": GrammarKind.REGEX, "text": "(ab|c)+[0-9]{1,3}"},
        {"kind": GrammarKind.CHOICE, "text": ["yes", "no"]},
        {"kind": GrammarKind.LARK, "text": 'start: "a" b?\nb: /x+/'},
        {"kind": GrammarKind.LARK, "text": "start: A\nA: /.*a/ & /.*b./"},
        {"kind": GrammarKind.GBNF, "text": 'root ::= "a" b\nb ::= [0-9]+'},
    ]
    return [json.dumps(case).encode() for case in cases]


def open_target() -> Callable[[bytes], str]:
    """Each input names a kind, and holds a text or the JSON that a client would send."""
    compiler = GrammarCompiler(byte_tokenizer(), VOCAB_SIZE, {EOS, EOT})

    def run(data: bytes) -> str:
        try:
            case = json.loads(data)
            text = case["text"] if isinstance(case, dict) and "text" in case else case
            text = text if isinstance(text, str) else json.dumps(text)
        except (ValueError, RecursionError):
            case, text = None, data.decode("utf-8", "replace")
        named = case.get("kind") if isinstance(case, dict) else None
        kind = _KINDS.get(named if isinstance(named, str) else "", GrammarKind.JSON_SCHEMA)
        try:
            grammar = compiler.compile_here(GrammarSpec(kind, text, "schema"))
        except InvalidGrammar as error:
            return refused(InvalidGrammar("schema", ascii(str(error))))
        return _walk(grammar.start(), random.Random(data))

    return run


def _walk(constraint: Constraint, rng: random.Random) -> str:
    """Take steps as a completion would; each halts the engine while it takes."""
    for _ in range(_NUM_STEPS):
        began = time.thread_time()
        try:
            mask = constraint.mask()
            tokens = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little"))
            token = int(tokens[rng.randrange(len(tokens))])
            if token in (EOS, EOT):
                break
            constraint.accept(token)
        except GrammarFailed:
            return "failed in a step"
        finally:
            if (seconds := time.thread_time() - began) > _MAX_STEP_SECONDS:
                raise Finding(f"a step took {seconds:.1f} s")
    return "compiled"


TARGET = Target(
    "grammars",
    open_target,
    json_mutator(("kind", "text", *_WORDS), _VALUES, damaged=0.01),
    seeds,
    guided_by=("tercet_engine.grammar", "tercet_engine.schema"),
    max_bytes=8192,
    max_seconds=5.0,
)
