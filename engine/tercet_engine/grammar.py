"""What a completion may consist of: a grammar is compiled once and then asked before each token.

llguidance does the work: from a JSON schema, a regular expression or a grammar it says after every
token which tokens may follow. It refuses what it cannot enforce, and so do we: a completion either
obeys its grammar or ends with an error, it is never let go on unconstrained.

Asking takes some ten microseconds and happens on the engine's thread.
"""

import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import GrammarFailed

if TYPE_CHECKING:
    from llguidance import LLMatcher

Mask = npt.NDArray[np.uint32]


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

    def __init__(self, matcher: "LLMatcher", vocab_size: int) -> None:
        self._matcher = matcher
        self._mask = np.zeros(-(-vocab_size // 32), np.uint32)
        self._address = self._mask.ctypes.data  # takes as long to find out as half a mask

    def mask(self) -> Mask:
        """Which tokens may come next: uint32 [ceil(vocab_size / 32)], bit t % 32 of word t / 32.

        It is good until the next call.

        Raises:
            GrammarFailed: a bound was reached; what may follow is not known.
        """
        self._matcher.unsafe_compute_mask_ptr(self._address, self._mask.nbytes)
        if self._matcher.is_error() or not self._mask.any():
            raise GrammarFailed
        return self._mask

    def accept(self, token: int) -> None:
        """Go on by a token that the mask allowed.

        Raises:
            GrammarFailed: a bound was reached.
        """
        if not self._matcher.consume_token(token):
            raise GrammarFailed

    @property
    def is_complete(self) -> bool:
        """Whether the completion could end here."""
        return self._matcher.is_accepting()


class Grammar:
    """A compiled grammar, of which each completion starts a constraint of its own."""

    def __init__(self, matcher: "LLMatcher", vocab_size: int) -> None:
        self._matcher = matcher
        self._vocab_size = vocab_size
        self._lock = threading.Lock()

    def start(self) -> Constraint:
        """A constraint before the first token."""
        with self._lock:
            return Constraint(self._matcher.deep_copy(), self._vocab_size)
