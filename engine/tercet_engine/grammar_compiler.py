"""Compiles grammars on a thread of its own, so that nobody else's answer waits for them.

Compiling takes from microseconds to a fraction of a second. What was compiled is kept. Text, time,
memory and each step's work have bounds, set below.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from

from tercet_engine.errors import InvalidGrammar
from tercet_engine.grammar import Grammar, GrammarKind, GrammarSpec
from tercet_engine.schema_formats import with_implications
from tercet_engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_GRAMMAR_BYTES: Final = 256 * 1024
"""Of a schema's or grammar's text."""
MAX_CACHED_GRAMMARS: Final = 128
MAX_COMPILE_SECONDS: Final = 10.0
"""Waiting for earlier ones included."""

_JSON_WHITESPACE: Final = r"( |\n {0,16})?"
"""Between the parts of a JSON value: enough to be pretty, too little for a weak model to get lost
in, as it does where any amount is allowed."""


class GrammarCompiler:
    """Compiles grammars for one model's tokens.

    Args:
        tokenizer: the model's.
        vocab_size: of the model; at least the tokenizer's.
        end_tokens: with which the model ends an answer; at least one.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_tokens: Iterable[int]) -> None:
        self._text_of_tokenizer = tokenizer.to_json
        self._vocab_size = vocab_size
        self._end_tokens = sorted(end_tokens)
        self._tokens: LLTokenizer | None = None
        self._cache: OrderedDict[bytes, Grammar] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="tercet-grammar")

    async def compile(self, spec: GrammarSpec, *, keep: bool = True) -> Grammar:
        """Compile a grammar, or find it compiled.

        Args:
            spec: the grammar.
            keep: for the next who asks.

        Raises:
            InvalidGrammar: it is wrong, too large, or asks for what cannot be enforced.
        """
        if (size := len(spec.text.encode("utf-8", "replace"))) > MAX_GRAMMAR_BYTES:
            message = f"is {size} bytes long; at most {MAX_GRAMMAR_BYTES} are taken"
            raise InvalidGrammar(spec.param, message)
        if not self._end_tokens:
            message = "cannot be enforced: this model has no token that ends an answer"
            raise InvalidGrammar(spec.param, message)
        key = hashlib.blake2b(f"{spec.kind}\0{spec.text}".encode("utf-8", "replace")).digest()
        if (known := self._cache.get(key)) is None:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._worker, self._compile, spec)
            try:
                known = await asyncio.wait_for(work, MAX_COMPILE_SECONDS)
            except TimeoutError:
                message = f"took longer than {MAX_COMPILE_SECONDS:.0f} s to compile; simplify it"
                raise InvalidGrammar(spec.param, message) from None
        if not keep:
            return known
        self._cache[key] = known
        self._cache.move_to_end(key)
        while len(self._cache) > MAX_CACHED_GRAMMARS:
            self._cache.popitem(last=False)
        return known

    def close(self) -> None:
        """Compile no more."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _compile(self, spec: GrammarSpec) -> Grammar:
        try:
            grammar = _grammar_of(spec)
        except ValueError as error:
            raise InvalidGrammar(spec.param, f"cannot be read: {_first_line(error)}") from None
        matcher = LLMatcher(self._tokenizer(), grammar, log_level=0, limits=_limits())
        if matcher.is_error():
            reason = _first_line(matcher.get_error())
            raise InvalidGrammar(spec.param, f"cannot be enforced: {reason}")
        return Grammar(matcher, self._vocab_size)

    def _tokenizer(self) -> LLTokenizer:
        if self._tokens is None:  # a second or so for a large vocabulary, hence not at load
            self._tokens = LLTokenizer(
                self._text_of_tokenizer(), n_vocab=self._vocab_size, eos_token=self._end_tokens
            )
        return self._tokens


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
        max_lexer_states=50_000,  # about 100 MB
        max_grammar_size=500_000,
        verbose_errors=False,
    )


def _first_line(error: object) -> str:
    lines = str(error).splitlines() or ["unknown reason"]
    return lines[0][:300]
