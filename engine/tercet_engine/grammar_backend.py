"""llguidance, told what we want of it and how much it may take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from

from tercet_engine.grammar import GrammarKind, GrammarSpec
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

    def matcher(self, spec: GrammarSpec) -> LLMatcher:
        """Compile a grammar; whether it could be is for the matcher to say.

        Raises:
            ValueError: it is not even written in its language.
        """
        return LLMatcher(self._tokens, _grammar_of(spec), log_level=0, limits=_limits())


def _grammar_of(spec: GrammarSpec) -> str:
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
            return grammar_from("choice", spec.text)
        case GrammarKind.LARK:
            return grammar_from("lark", spec.text)
        case GrammarKind.GBNF:
            return grammar_from("gbnf", spec.text)


def _limits() -> LLParserLimits:
    return LLParserLimits(
        max_items_in_row=2000,
        initial_lexer_fuel=1_000_000,  # about 20 ms
        step_lexer_fuel=200_000,  # about 14 ms
        step_max_items=50_000,  # about 3 ms
        max_lexer_states=16_000,  # about 10 to 30 MB
        max_grammar_size=500_000,
        verbose_errors=False,
    )
