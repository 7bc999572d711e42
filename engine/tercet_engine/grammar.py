"""What a completion may consist of: a grammar is compiled once and then asked before each token.

llguidance does the work: from a JSON schema, a regular expression or a grammar it says after every
token which tokens may follow. It refuses what it cannot enforce, and so do we: a completion either
obeys its grammar or ends with an error, it is never let go on unconstrained.

What its lexer has found out, it keeps for all completions of a grammar, up to a bound. Completions
before, or beside, one must not decide how that one ends, so when the bound is reached whoever goes
on does so with a new matcher, and fails only if its own tokens alone are too much.

Asking takes some ten microseconds and happens on the engine's thread. A new matcher may take
seconds, and is made on another; the completion waits for it, and nobody else does.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

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
        self._mask = empty_mask(vocab_size)
        self._address = self._mask.ctypes.data  # takes as long to find out as half a mask
        self._renewal: Future[Renewed | None] | None = None

    def mask(self) -> Mask:
        """Which tokens may come next: uint32 [ceil(vocab_size / 32)], bit t % 32 of word t / 32.

        It is good until the next call. Where a new matcher is needed it waits for that.

        Raises:
            GrammarFailed: a bound was reached; what may follow is not known.
        """
        while isinstance(known := self.mask_or_renewal(), Future):
            wait([known])
        return known

    def mask_or_renewal(self) -> "Mask | Future[Renewed | None]":
        """The same, or what must be done on another thread before one can say, and then ask again.

        Raises:
            GrammarFailed: a bound was reached; what may follow is not known.
        """
        if self._renewal is None:
            if not self._matcher.is_error():
                self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
            if not self._matcher.is_error():
                return self._some()
            if not is_full(self._matcher):
                raise GrammarFailed
            self._renewal = self._grammar.renew(self._edition, self._tokens)
        if not self._renewal.done():
            return self._renewal
        done, self._renewal = self._renewal, None
        if done.cancelled() or done.exception() or (renewed := done.result()) is None:
            raise GrammarFailed
        self._matcher, self._edition, self._mask[:] = renewed
        return self._some()

    def accept(self, token: int) -> None:
        """Go on by a token that the mask allowed.

        Raises:
            GrammarFailed: a bound was reached.
        """
        self._tokens.append(token)
        if not self._matcher.consume_token(token) and not is_full(self._matcher):
            raise GrammarFailed

    @property
    def is_complete(self) -> bool:
        """Whether the completion could end here."""
        return self._matcher.is_accepting()

    def _some(self) -> Mask:
        if not self._mask.any():
            raise GrammarFailed
        return self._mask


class Renewed(NamedTuple):
    """A matcher after a completion's tokens, its edition, and the mask of what may come next."""

    matcher: "LLMatcher"
    edition: int
    mask: Mask


class Grammar:
    """A compiled grammar, of which each completion starts a constraint of its own.

    Args:
        matcher: the grammar, compiled.
        compile_again: gives another one that shares nothing with it.
        vocab_size: of the model.
        renewer: one thread, not the engine's and not the one that compiles.
    """

    def __init__(
        self,
        matcher: "LLMatcher",
        compile_again: Callable[[], "LLMatcher"],
        vocab_size: int,
        renewer: Executor,
    ) -> None:
        self._matcher = matcher
        self._compile_again = compile_again
        self._vocab_size = vocab_size
        self._renewer = renewer
        self._edition = 0
        self._lock = threading.Lock()

    def start(self) -> Constraint:
        """A constraint before the first token."""
        return Constraint(self, self._vocab_size)

    def matcher(self) -> tuple["LLMatcher", int]:
        """A matcher before the first token, and in which edition."""
        with self._lock:
            return self._matcher.deep_copy(), self._edition

    def renew(self, edition: int, tokens: Sequence[int]) -> "Future[Renewed | None]":
        """Find a matcher that goes on after `tokens`, where that of `edition` is full.

        It comes to None where these tokens alone are too much, or where the engine is closed.
        """
        try:
            return self._renewer.submit(self._renewed, edition, tuple(tokens))
        except RuntimeError:  # no more is taken
            nothing: Future[Renewed | None] = Future()
            nothing.set_result(None)
            return nothing

    def _renewed(self, edition: int, tokens: Sequence[int]) -> Renewed | None:
        """On the renewer's thread. A later edition may have room; one that nobody uses decides."""
        matcher, latest = self.matcher()
        if latest != edition:
            renewed = self._follow(matcher, latest, tokens)
            if renewed or not is_full(matcher):
                return renewed
        unused = self._compile_again()
        renewed = self._follow(unused.deep_copy(), latest + 1, tokens)
        with self._lock:  # only now may others fill it
            self._matcher, self._edition = unused, latest + 1
        return renewed

    def _follow(self, matcher: "LLMatcher", edition: int, tokens: Sequence[int]) -> Renewed | None:
        mask = empty_mask(self._vocab_size)
        if matcher.consume_tokens(list(tokens)):
            matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        return None if matcher.is_error() else Renewed(matcher, edition, mask)


def empty_mask(vocab_size: int) -> Mask:
    """Of nothing that is allowed."""
    return np.zeros(-(-vocab_size // 32), np.uint32)


def is_full(matcher: "LLMatcher") -> bool:
    """Whether its lexer has found out as much as it may."""
    return _FULL in matcher.get_error()
