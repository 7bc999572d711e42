"""Reading an answer's text as it grows: what of it is reasoning, what a call, what plain text.

The events depend on the text alone, never on the pieces in which it arrives but for where those cut
it: the text of a kind joined is the same whatever they are.
"""

from collections.abc import Iterable
from typing import Protocol

from tercet_server.protocol.common import FinishReason
from tercet_server.services.events import AnswerEnd, AnswerEvent, TextDelta


class AnswerReader(Protocol):
    """Makes events of one answer's text."""

    def push(self, text: str) -> Iterable[AnswerEvent]:
        """What this further text means; some of it may be held back until it is clear."""

    def finish(self, reason: FinishReason) -> Iterable[AnswerEvent]:
        """What was held back, and the end."""


class PlainReader:
    """Reads an answer that is nothing but text.

    Args:
        index: of the answer.
    """

    def __init__(self, index: int) -> None:
        self._index = index

    def push(self, text: str) -> Iterable[AnswerEvent]:
        """The text as it is."""
        if text:
            yield TextDelta(self._index, text)

    def finish(self, reason: FinishReason) -> Iterable[AnswerEvent]:
        """The end."""
        yield AnswerEnd(self._index, reason)
