"""What a completion may consist of: a grammar is compiled once and then asked before each token.

llguidance does the work: from a JSON schema, a regular expression or a grammar it says after every
token which tokens may follow. It refuses what it cannot enforce, and so do we: a completion either
obeys its grammar or ends with an error, it is never let go on unconstrained.

What its lexer has found out, it keeps for all completions of a grammar, up to a bound. Completions
before, or beside, one must not be why that one fails: whatever a shared matcher fails by, a new one
is led through the same tokens, alone, and decides. That may take seconds, on another thread.

Asking takes some ten microseconds and happens on the engine's thread.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import GrammarFailed
from tercet_engine.grammar_renewer import Renewer

if TYPE_CHECKING:
    from concurrent.futures import Future

    from llguidance import LLMatcher

_PIECE: Final = 32

Mask = npt.NDArray[np.uint32]
"""Which tokens may come next: [ceil(vocab_size / 32)], bit t % 32 of word t / 32."""


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


class Edition:
    """A grammar, compiled; what its copies find out, they share, and it may grow large by it."""

    def __init__(self, root: "LLMatcher") -> None:
        self._root = root

    def matcher(self) -> "LLMatcher":
        """A copy, before the first token."""
        return self._root.deep_copy()


class Renewed(NamedTuple):
    """A matcher of a new edition that was led through a completion's tokens.

    Attributes:
        edition: what it is a copy of.
        matcher: after the last token.
        mask: what may come next.
    """

    edition: Edition
    matcher: "LLMatcher"
    mask: Mask


class Constraint:
    """A grammar's state after the tokens of one completion. Used by the engine's thread only."""

    def __init__(self, grammar: "Grammar", first_mask: Mask) -> None:
        self.grammar: Final = grammar
        # None before the first token, and while it waits for another: an edition may be large.
        self._edition: Edition | None = None
        self._matcher: LLMatcher | None = None
        self._mask = first_mask.copy()
        self._address = self._mask.ctypes.data  # takes as long to find out as half a mask
        self._is_known = True
        self._tokens: list[int] = []
        self._renewal: Future[Renewed | None] | None = None
        self._is_over = False

    def find_out(self) -> bool:
        """Find out what may come next.

        Returns:
            Whether it is known; else a new matcher is needed first: `renew` it.

        Raises:
            GrammarFailed: a bound was reached; what may follow is not known.
        """
        if self._is_known:
            return True
        if self._matcher and not self._compute():
            self._give_up()
        if self._matcher is None and not self._take_renewed():
            return False
        if not self._mask.any():
            raise GrammarFailed
        self._is_known = True
        return True

    def renew(self) -> "Future[Renewed | None]":
        """Have a new matcher made, on another thread; when it is done, `find_out` again."""
        if self._renewal is None:
            tokens = tuple(self._tokens)
            self._renewal = self.grammar.renew(tokens, is_wanted=lambda: not self._is_over)
        return self._renewal

    def known_mask(self) -> Mask:
        """What may come next, as it was found out. Good until the next token."""
        assert self._is_known
        return self._mask

    def mask(self) -> Mask:
        """What may come next; waits for what must be done first.

        Raises:
            GrammarFailed: a bound was reached; what may follow is not known.
        """
        while not self.find_out():
            renewal = self.renew()
            while not renewal.done():
                wait([renewal], timeout=1)  # one that is cancelled wakes nobody
        return self.known_mask()

    def accept(self, token: int) -> None:
        """Go on by a token that the mask allowed. Whether it was too much is found out later."""
        if not self._tokens and (edition := self.grammar.edition()):
            self._edition, self._matcher = edition, edition.matcher()
        self._tokens.append(token)
        if self._matcher:
            self._matcher.consume_token(token)
        self._is_known = False

    def end(self) -> None:
        """The completion is over: nobody needs to know any more."""
        self._is_over = True

    @property
    def is_complete(self) -> bool:
        """Whether the completion could end here; known after the first token."""
        return self._matcher is not None and self._matcher.is_accepting()

    def _compute(self) -> bool:
        assert self._matcher
        if not self._matcher.is_error():
            self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
        return not self._matcher.is_error()

    def _give_up(self) -> None:
        """Have no matcher; nor shall others begin with its edition if that is full."""
        assert self._edition
        self.grammar.try_out(self._edition, self._tokens[0])
        self._edition = self._matcher = None

    def _take_renewed(self) -> bool:
        """Go on with the new matcher, if there already is one."""
        if self._renewal is None or not self._renewal.done():
            return False
        done, self._renewal = self._renewal, None
        if done.cancelled() or done.exception() or (renewed := done.result()) is None:
            raise GrammarFailed
        self._edition, self._matcher, self._mask[:] = renewed
        return True


class Grammar:
    """A compiled grammar, of which each completion starts a constraint of its own.

    Completions begin with its newest edition that is in use, else with the first, until it is full;
    where there is none, with one that is made for them.

    Args:
        matcher: the grammar, compiled.
        first_mask: what a completion may begin with.
        compile_again: gives another matcher that shares nothing with it.
        renewer: leads new matchers through what was completed.
    """

    def __init__(
        self,
        matcher: "LLMatcher",
        first_mask: Mask,
        compile_again: Callable[[], "LLMatcher"],
        renewer: Renewer,
    ) -> None:
        self._first: Edition | None = Edition(matcher)
        self._newest: Callable[[], Edition | None] = lambda: None
        self._first_mask = first_mask
        self._compile_again = compile_again
        self._renewer = renewer
        self._lock = threading.Lock()

    def start(self) -> Constraint:
        """A constraint before the first token."""
        return Constraint(self, self._first_mask)

    def edition(self) -> Edition | None:
        """With which completions begin, if there is one."""
        with self._lock:
            return self._newest() or self._first

    def try_out(self, edition: Edition, first_token: int) -> None:
        """Let no completion begin with an edition any more that is too full even for one token."""
        matcher, mask = edition.matcher(), np.empty_like(self._first_mask)
        if matcher.consume_token(first_token) and compute(matcher, mask):
            return
        with self._lock:
            if edition is self._first:
                self._first = None
            if edition is self._newest():
                self._newest = lambda: None

    def renew(
        self, tokens: Sequence[int], is_wanted: Callable[[], bool]
    ) -> "Future[Renewed | None]":
        """Find out with a new matcher what may follow `tokens`.

        It comes to None where they are too much for it, and where nobody wants it any more; it is
        cancelled where the engine is closed.
        """
        return self._renewer.submit(lambda: self._renewed(tokens, is_wanted))

    def _renewed(self, tokens: Sequence[int], is_wanted: Callable[[], bool]) -> Renewed | None:
        """On the renewer's thread, and with matchers that nobody else knows until it is done."""
        renewed = None
        if is_wanted():
            renewed = self._straight(tokens) or self._as_alone(tokens, is_wanted)
        if renewed:
            with self._lock:
                self._newest = weakref.ref(renewed.edition)
        return renewed

    def _straight(self, tokens: Sequence[int]) -> Renewed | None:
        """Find out no more than what must be known of the tokens' own path."""
        new = self._at_first()
        for begin in range(0, len(tokens), _PIECE):  # no other thread runs amid one
            if not new.matcher.consume_tokens(list(tokens[begin : begin + _PIECE])):
                return None
        return new if compute(new.matcher, new.mask) else None

    def _as_alone(self, tokens: Sequence[int], is_wanted: Callable[[], bool]) -> Renewed | None:
        """Do all that the completion would have done had it been alone, token by token.

        A lexer may spend so much in each step, and one that knows nothing yet may need more for
        the last step than one that came there by all of them.
        """
        new: Renewed | None = self._at_first()
        for count, token in enumerate(tokens, 1):
            if new is None or not is_wanted():
                return None
            if not (new.matcher.consume_token(token) and compute(new.matcher, new.mask)):
                new = None  # one large edition at a time
                new = self._straight(tokens[:count])
        return new

    def _at_first(self) -> Renewed:
        edition = Edition(self._compile_again())
        return Renewed(edition, edition.matcher(), np.zeros_like(self._first_mask))


def compute(matcher: "LLMatcher", mask: Mask) -> bool:
    """Write into `mask` what may come next; false: the matcher fails."""
    matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
    return not matcher.is_error()
