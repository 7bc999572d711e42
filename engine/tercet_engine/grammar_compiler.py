"""Compiles grammars on a thread of its own, so that nobody else's answer waits for them.

Compiling takes from microseconds to a fraction of a second, twice: first in a process that may be
stopped, then here. What was compiled is kept. Text, time, memory and each step's work have bounds.
"""

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from tercet_engine.errors import GrammarFailed, InvalidGrammar
from tercet_engine.grammar import Grammar, GrammarSpec
from tercet_engine.grammar_bounds import LIMITS, find_excess
from tercet_engine.grammar_intersections import find_intersection
from tercet_engine.grammar_trial import GrammarTrial, TrialFailed
from tercet_engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tercet_engine.grammar_backend import GrammarBackend

MAX_GRAMMAR_BYTES: Final = 256 * 1024
"""Of a schema's or grammar's text."""
MAX_CACHED_GRAMMARS: Final = 128
MAX_COMPILE_SECONDS: Final = 10.0
"""Waiting for earlier ones included."""
_STACK_BYTES: Final = 8 << 20
"""Of threads begun from then on: twice what a trial has, whatever `ulimit -s` says."""


class GrammarCompiler:
    """Compiles grammars for one model's tokens.

    Args:
        tokenizer: the model's.
        vocab_size: of the model; at least the tokenizer's.
        end_tokens: with which the model ends an answer; at least one.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, end_tokens: Iterable[int]) -> None:
        if threading.stack_size() < _STACK_BYTES:
            threading.stack_size(_STACK_BYTES)
        self._text_of_tokenizer = tokenizer.to_json
        self._vocab_size = vocab_size
        self._end_tokens = sorted(end_tokens)
        self._backend: GrammarBackend | None = None
        self._trial = GrammarTrial(tokenizer.added_tokens, vocab_size, LIMITS)
        self._cache: OrderedDict[bytes, Grammar] = OrderedDict()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="tercet-grammar")
        self._renewer = ThreadPoolExecutor(1, thread_name_prefix="tercet-renewal")

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
        for threads in (self._worker, self._renewer):
            threads.shutdown(wait=False, cancel_futures=True)
        self._trial.close()

    def _compile(self, spec: GrammarSpec) -> Grammar:
        if excess := find_excess(spec.kind, spec.text):
            raise InvalidGrammar(spec.param, f"cannot be enforced: {excess}")
        # Some 12 MB, which most servers never need.
        from tercet_engine.grammar_backend import GrammarBackend, notation  # noqa: PLC0415

        try:
            grammar = notation(spec)
        except ValueError as error:
            raise InvalidGrammar(spec.param, f"cannot be read: {_first_line(error)}") from None
        if excess := find_intersection(grammar):
            raise InvalidGrammar(spec.param, f"cannot be enforced: {excess}")
        try:
            self._trial.run(grammar)
        except TrialFailed as error:
            message = f"cannot be enforced: {_first_line(error)}"
            raise InvalidGrammar(spec.param, message) from None
        if self._backend is None:  # a second or so for a large vocabulary, hence not at load
            self._backend = GrammarBackend(
                self._text_of_tokenizer(), self._vocab_size, self._end_tokens
            )
        matcher = self._backend.matcher(grammar)
        if matcher.is_error():
            reason = _first_line(matcher.get_error())
            raise InvalidGrammar(spec.param, f"cannot be enforced: {reason}")
        again = partial(self._backend.matcher, grammar)
        compiled = Grammar(matcher, again, self._vocab_size, self._renewer)
        try:
            self._try(compiled)
        except GrammarFailed:
            message = "cannot be enforced: it is too complex, or nothing obeys it"
            raise InvalidGrammar(spec.param, message) from None
        return compiled

    def _try(self, grammar: Grammar) -> None:
        """Take two steps: the first are the dearest, and where most failures come to light."""
        constraint = grammar.start()
        word = int(np.flatnonzero(mask := constraint.mask())[0])
        bits = int(mask[word])
        token = word * 32 + (bits & -bits).bit_length() - 1
        if token not in self._end_tokens:
            constraint.accept(token)
            constraint.mask()


def _first_line(error: object) -> str:
    lines = str(error).splitlines() or ["unknown reason"]
    return lines[0][:300]
