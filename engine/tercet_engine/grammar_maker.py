"""Makes of a grammar, as somebody wrote it, one that a completion can obey; or says why not.

Each is compiled twice: first in a process that may be stopped, then here. Its text, and the work of
each of its steps, have bounds.
"""

import threading
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tercet_engine.errors import InvalidGrammar, Refusal
from tercet_engine.grammar import Grammar, GrammarSpec, Mask, compute
from tercet_engine.grammar_bounds import find_excess
from tercet_engine.grammar_intersections import find_intersection
from tercet_engine.grammar_renewer import Renewer
from tercet_engine.grammar_trial import GrammarTrial, NoTrial, TrialFailed, TrialTooLong
from tercet_engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from tercet_engine.grammar_backend import GrammarBackend


class GrammarMaker:
    """Makes grammars for one model's tokens, on any number of threads.

    Args:
        tokenizer: the model's.
        vocab_size: of the model; at least the tokenizer's.
        end_tokens: with which the model ends an answer; at least one.
        renewer: makes new matchers for completions that need them.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        vocab_size: int,
        end_tokens: Iterable[int],
        renewer: Renewer,
    ) -> None:
        self._text_of_tokenizer = tokenizer.to_json
        self._vocab_size = vocab_size
        self._end_tokens = sorted(end_tokens)
        self._renewer = renewer
        self._backend: GrammarBackend | None = None
        self._lock = threading.Lock()

    def make(self, spec: GrammarSpec, trial: GrammarTrial) -> Grammar:
        """Compile a grammar that comes through a trial.

        Raises:
            InvalidGrammar: it is wrong, or asks for what cannot be enforced.
            TrialTooLong: it takes longer than the trial allows.
        """
        if excess := find_excess(spec.kind, spec.text):
            raise _unenforceable(spec, excess)
        # Some 12 MB, which most servers never need.
        from tercet_engine.grammar_backend import notation  # noqa: PLC0415

        try:
            grammar = notation(spec)
        except ValueError as error:
            raise InvalidGrammar(spec.param, f"cannot be read: {_first_line(error)}") from None
        if excess := find_intersection(grammar):
            raise _unenforceable(spec, excess)
        try:
            trial.run(grammar)
        except TrialTooLong:
            raise
        except NoTrial as error:
            refusal = Refusal(f"cannot be tried: {error}", is_lasting=False)
            raise InvalidGrammar(spec.param, refusal) from None
        except TrialFailed as error:
            raise _unenforceable(spec, error) from None
        matcher = self._matcher(grammar)
        if matcher.is_error():
            raise _unenforceable(spec, matcher.get_error())
        first_mask = np.zeros(-(-self._vocab_size // 32), np.uint32)
        if not self._can_begin(matcher.deep_copy(), first_mask):
            raise _unenforceable(spec, "it is too complex, or nothing obeys it")
        return Grammar(matcher, first_mask, partial(self._matcher, grammar), self._renewer)

    def _matcher(self, grammar: str) -> "LLMatcher":
        from tercet_engine.grammar_backend import GrammarBackend  # noqa: PLC0415

        with self._lock:
            if self._backend is None:  # a second or so for a large vocabulary, hence not at load
                text = self._text_of_tokenizer()
                self._backend = GrammarBackend(text, self._vocab_size, self._end_tokens)
        return self._backend.matcher(grammar)

    def _can_begin(self, matcher: "LLMatcher", first_mask: Mask) -> bool:
        """Take two steps: the first are the dearest, and where most failures come to light."""
        if not compute(matcher, first_mask) or not first_mask.any():
            return False
        word = int(np.flatnonzero(first_mask)[0])
        bits = int(first_mask[word])
        token = word * 32 + (bits & -bits).bit_length() - 1
        if token in self._end_tokens:
            return True
        mask = np.zeros_like(first_mask)
        return bool(matcher.consume_token(token) and compute(matcher, mask) and mask.any())


def _unenforceable(spec: GrammarSpec, error: object) -> InvalidGrammar:
    return InvalidGrammar(spec.param, f"cannot be enforced: {_first_line(error)}")


def _first_line(error: object) -> str:
    lines = str(error).splitlines() or ["unknown reason"]
    return lines[0][:300]
