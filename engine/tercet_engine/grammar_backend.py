"""llguidance, told what we want of it and how much it may take."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from

from tercet_engine.grammar import GrammarKind, GrammarSpec
from tercet_engine.grammar_bounds import LIMITS
from tercet_engine.schema_formats import with_implications

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_JSON_WHITESPACE: Final = r"( |\n {0,16})?"
"""Between the parts of a JSON value: enough to be pretty, too little for a weak model to get lost
in, as it does where any amount is allowed."""


class GrammarBackend:
    """Compiles grammars for one model's tokens.

    Args:
        tokenizer: in the form of a `tokenizer.json`.
        vocab_size: of the model.
        end_tokens: with which it ends an answer.
    """

    def __init__(self, tokenizer: str, vocab_size: int, end_tokens: Sequence[int]) -> None:
        self._tokens = LLTokenizer(tokenizer, n_vocab=vocab_size, eos_token=list(end_tokens))

    def matcher(self, grammar: str) -> LLMatcher:
        """Compile what `notation` gives; whether it could be is for the matcher to say."""
        limits: dict[str, Any] = dict(LIMITS)
        return LLMatcher(self._tokens, grammar, log_level=0, limits=LLParserLimits(**limits))


def notation(spec: GrammarSpec) -> str:
    """A grammar in llguidance's own form. It costs as much as reading it.

    Raises:
        ValueError: it is not even written in its language.
    """
    match spec.kind:
        case GrammarKind.JSON_SCHEMA:
            text = with_implications(spec.text)
            # A schema can hold options too, such as to pass over what cannot be enforced.
            options: JsonCompileOptions = {
                "whitespace_pattern": _JSON_WHITESPACE,
                "item_separator": ",",
                "key_separator": ":",
                "lenient": False,
                "coerce_one_of": False,
            }
            return LLMatcher.grammar_from_json_schema(text, overrides=options)
        case GrammarKind.REGEX:
            return grammar_from("regex", spec.text)
        case GrammarKind.CHOICE:
            return grammar_from("choice", _list_of_texts(spec.text))
        case GrammarKind.LARK:
            return grammar_from("lark", spec.text)
        case GrammarKind.GBNF:
            return grammar_from("gbnf", spec.text)


def _list_of_texts(text: str) -> str:
    choices = json.loads(text)
    if isinstance(choices, list) and all(isinstance(choice, str) for choice in choices):
        return text
    message = "it is no list of texts"
    raise ValueError(message)
