"""From token ids to text that is safe to show.

Two things are held back until they are complete or disproved: the first bytes of a character, and
the first characters of a stop string. What is let out depends on the tokens only, never on how
they were grouped into steps; and a whole answer is made by the same code as a streamed one, so the
streamed text joined is the whole text.
"""

import codecs
from collections.abc import Mapping, Sequence
from typing import Protocol


class TokenBytes(Protocol):
    """Knows the bytes that each token stands for."""

    def token_bytes(self, token: int) -> bytes:
        """The token's bytes; none for a special token."""


class StopStrings:
    """Watches a growing text for the strings that end it.

    The match that is complete first counts, and of two complete at the same character the longer:
    a rule about the text alone, whatever the pieces in which it arrives.
    """

    def __init__(self, stops: Sequence[str], *, include: bool = False) -> None:
        self._stops = stops
        self._include = include
        self._held = ""
        self.matched: str | None = None
        """The stop string that has ended the text."""

    def push(self, text: str, *, may_end: bool = True) -> tuple[str, bool]:
        """Add `text`; return what is now safe to show, and whether a stop string has ended it.

        With `may_end` false, stop strings completed by this `text` are passed over.
        """
        if not self._stops:
            return text, False
        num_held = len(self._held)
        self._held += text
        if may_end and (match := self._find(num_held)) is not None:
            start, self.matched = match
            end = start + len(self.matched) if self._include else start
            safe, self._held = self._held[:end], ""
            return safe, True
        num_safe = len(self._held) - self._num_undecided()
        safe, self._held = self._held[:num_safe], self._held[num_safe:]
        return safe, False

    def flush(self) -> str:
        """Return what was held back: nothing more will come to complete it."""
        held, self._held = self._held, ""
        return held

    def _find(self, num_seen: int) -> tuple[int, str] | None:
        """The first stop string that ends after the first `num_seen` characters, and its start."""
        matches = []
        for stop in self._stops:
            start = self._held.find(stop, max(0, num_seen - len(stop) + 1))
            if start >= 0:
                matches.append((start + len(stop), start, stop))
        return min(matches)[1:] if matches else None

    def _num_undecided(self) -> int:
        """Length of the longest tail that a stop string could begin with."""
        longest = max(len(stop) for stop in self._stops) - 1
        for start in range(max(0, len(self._held) - longest), len(self._held)):
            tail = self._held[start:]
            if any(len(tail) < len(stop) and stop.startswith(tail) for stop in self._stops):
                return len(tail)
        return 0


class Detokenizer:
    """The text of one completion, made as its tokens arrive.

    Args:
        tokens: knows the bytes of each token.
        stop: strings that end the text.
        include_stop: the one that ends it is part of it, and so is a token that does.
        min_tokens: stop strings completed before this many tokens do not count.
        strip_leading_space: drop one space if the text begins with it.
        shown: special tokens that count as text, and their texts.
    """

    def __init__(
        self,
        tokens: TokenBytes,
        *,
        stop: Sequence[str] = (),
        include_stop: bool = False,
        min_tokens: int = 0,
        strip_leading_space: bool = False,
        shown: Mapping[int, str] | None = None,
    ) -> None:
        self._tokens = tokens
        self._shown = {token: text.encode() for token, text in (shown or {}).items()}
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = StopStrings(stop, include=include_stop)
        self._include_stop = include_stop
        self._min_tokens = min_tokens
        self._strip_space = strip_leading_space
        self._num_tokens = 0
        self.is_stopped = False
        """Whether a stop string has ended the text. Nothing may be pushed afterwards."""

    @property
    def stop_string(self) -> str | None:
        """The stop string that has ended the text."""
        return self._stops.matched

    def push(self, token: int) -> str:
        """Add a token; return the text that has become safe to show, maybe none."""
        assert not self.is_stopped
        self._num_tokens += 1
        shown = self._shown.get(token)
        piece = self._tokens.token_bytes(token) if shown is None else shown
        return self._push(self._utf8.decode(piece))

    def end(self, token: int) -> str:
        """Add the token that ends the completion; return its text if it is part of it."""
        return self.push(token) if self._include_stop else ""

    def finish(self) -> str:
        """Return what was held back. The text is complete with it."""
        if self.is_stopped:
            return ""
        text = self._push(self._utf8.decode(b"", final=True))
        return text + self._stops.flush()

    def _push(self, text: str) -> str:
        if self._strip_space and text:
            text = text.removeprefix(" ")
            self._strip_space = False
        may_end = self._num_tokens >= self._min_tokens
        safe, self.is_stopped = self._stops.push(text, may_end=may_end)
        return safe
