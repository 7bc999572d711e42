"""What a completion may consist of: a grammar is compiled once and then asked before each token.

llguidance does the work: from a JSON schema, a regular expression or a grammar it says after every
token which tokens may follow. It refuses what it cannot enforce, and so do we: a completion either
obeys its grammar or ends with an error, it is never let go on unconstrained.

What its lexer has found out, it keeps for all completions of a grammar, up to a bound. Completions
before, or beside, one must not decide how that one ends, so when the bound is reached whoever goes
on does so with a new matcher, and fails only if its own tokens alone are too much.

Asking takes some ten microseconds and happens on the engine's thread.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import GrammarFailed

if TYPE_CHECKING:
    from llguidance import LLMatcher

Mask = npt.NDArray[np.uint32]

_FULL: Final = "too many states"
"""In llguidance's message when the lexer has reached its bound."""


class GrammarKind(StrEnum):
    """In what language a grammar is written."""

    JSON_SCHEMA = "json_schema"
    REGEX = "regex"
    CHOICE = "choice"
    """A JSON list of strings, one of which the completion is."""
    LARK = "lark"
    GBNF = "gbnf"
    """llama.cpp's notation; Lark's is taken too."""


@dataclass(frozen=True, slots=True)
class GrammarSpec:
    """A grammar as somebody wrote it.

    Attributes:
        kind: the language.
        text: what is written; JSON for a schema or a choice.
        param: the request's field that it came from, for errors.
    """

    kind: GrammarKind
    text: str
    param: str = "response_format"


class Constraint:
    """A grammar's state after the tokens of one completion. Used by the engine's thread only."""

    def __init__(self, grammar: "Grammar", vocab_size: int) -> None:
        self._grammar = grammar
        self._matcher, self._edition = grammar.matcher()
        self._tokens: list[int] = []
        self._mask = np.zeros(-(-vocab_size // 32), np.uint32)
        self._address = self._mask.ctypes.data  # takes as long to find out as half a mask

    def mask(self) -> Mask:
        """Which tokens may come next: uint32 [ceil(vocab_size / 32)], bit t % 32 of word t / 32.

        It is good until the next call.

        Raises:
            GrammarFailed: a bound was reached; what may follow is not known.
        """
        is_known = self._compute() or any(self._compute() for _ in self._new_matchers())
        if not is_known or not self._mask.any():
            raise GrammarFailed
        return self._mask

    def accept(self, token: int) -> None:
        """Go on by a token that the mask allowed.

        Raises:
            GrammarFailed: a bound was reached.
        """
        self._tokens.append(token)
        if not (self._matcher.consume_token(token) or any(True for _ in self._new_matchers())):
            raise GrammarFailed

    @property
    def is_complete(self) -> bool:
        """Whether the completion could end here."""
        return self._matcher.is_accepting()

    def _compute(self) -> bool:
        self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
        return not self._matcher.is_error()

    def _new_matchers(self) -> Iterator[None]:
        """As long as the lexer is full, take another matcher; the last is shared with nobody."""
        is_own = False
        while not is_own and _FULL in self._matcher.get_error():
            self._matcher, self._edition, is_own = self._grammar.renewed(self._edition)
            if self._matcher.consume_tokens(self._tokens):
                yield


class Grammar:
    """A compiled grammar, of which each completion starts a constraint of its own.

    Args:
        matcher: the grammar, compiled.
        compile_again: gives another one that shares nothing with it.
        vocab_size: of the model.
    """

    def __init__(
        self, matcher: "LLMatcher", compile_again: Callable[[], "LLMatcher"], vocab_size: int
    ) -> None:
        self._matcher = matcher
        self._compile_again = compile_again
        self._vocab_size = vocab_size
        self._edition = 0
        self._lock = threading.Lock()

    def start(self) -> Constraint:
        """A constraint before the first token."""
        return Constraint(self, self._vocab_size)

    def matcher(self) -> tuple["LLMatcher", int]:
        """A matcher before the first token, and in which edition."""
        with self._lock:
            return self._matcher.deep_copy(), self._edition

    def renewed(self, edition: int) -> tuple["LLMatcher", int, bool]:
        """The same, of a later edition than that whose lexer is full, and whether it is unused."""
        is_new = edition == self._edition  # only the engine's thread makes editions
        if is_new:
            matcher = self._compile_again()
            with self._lock:
                self._matcher, self._edition = matcher, edition + 1
        return *self.matcher(), is_new
