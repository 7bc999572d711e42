"""Models that think aloud before they answer: where their thoughts end, and how long they may be.

A thought stands between <think> and </think>, at the beginning of an answer. Some templates open
it already in the prompt, or close it there to have an answer without a thought. White space around
a thought belongs to the marks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tercet_engine import ChatTemplate, Tokenizer
from tercet_server.protocol.common import FinishReason
from tercet_server.services.events import AnswerEvent, ReasoningDelta
from tercet_server.services.held_text import num_trailing_spaces, num_undecided
from tercet_server.services.readers import AnswerReader

OPEN: Final = "<think>"
CLOSE: Final = "</think>"


@dataclass(frozen=True, slots=True)
class Thinking:
    """How a model thinks.

    Attributes:
        open_token: of OPEN, if it is one token.
        close_token: of CLOSE, if it is one token.
    """

    open_token: int | None
    close_token: int | None

    @property
    def has_tokens(self) -> bool:
        """Whether the marks are tokens, so that a thought can be ended from outside."""
        return self.open_token is not None and self.close_token is not None


def thinking_of(template: ChatTemplate, tokenizer: Tokenizer) -> Thinking | None:
    """Whether a model thinks, by its template and tokens."""
    thinking = Thinking(tokenizer.token_id(OPEN), tokenizer.token_id(CLOSE))
    return thinking if thinking.has_tokens or OPEN in template.source else None


def is_open(prompt: Sequence[int], tokenizer: Tokenizer) -> bool:
    """Whether a prompt ends within a thought, so that the answer begins in its midst."""
    end = "".join(map(tokenizer.token_text, prompt[-16:]))
    return end.rstrip().endswith(OPEN)


class ReasoningReader:
    """Reads one answer's thought and leaves the rest to another reader.

    Args:
        index: of the answer.
        rest: reads what comes after.
        is_open: whether the answer begins in the midst of its thought.
    """

    def __init__(self, index: int, rest: AnswerReader, *, is_open: bool) -> None:
        self._index = index
        self._rest = rest
        self._held = ""
        self._has_begun = is_open
        self._has_ended = False
        self._is_blank = True
        """Whether nothing but white space was seen since the last mark."""

    def push(self, text: str) -> Iterator[AnswerEvent]:
        """What has become clear."""
        self._held += text
        if not self._has_begun:
            self._look_for_beginning()
        if self._has_begun and not self._has_ended:
            yield from self._read_thought()
        if self._has_ended and self._held:
            if self._is_blank:
                self._held = self._held.lstrip()
            self._is_blank = self._is_blank and not self._held
            rest, self._held = self._held, ""
            yield from self._rest.push(rest)

    def finish(self, reason: FinishReason) -> Iterator[AnswerEvent]:
        """What was held back, and the end."""
        held, self._held = self._held, ""
        if not self._has_begun:
            yield from self._rest.push(held)
        elif not self._has_ended and held.strip():
            yield ReasoningDelta(self._index, held.rstrip())
        yield from self._rest.finish(reason)

    def _look_for_beginning(self) -> None:
        text = self._held.lstrip()
        if text.startswith(OPEN):
            self._held, self._has_begun = text.removeprefix(OPEN), True
        elif not OPEN.startswith(text):  # there is no thought
            self._has_begun = self._has_ended = True
            self._is_blank = False

    def _read_thought(self) -> Iterator[AnswerEvent]:
        if self._is_blank:
            self._held = self._held.lstrip()
        thought, found, rest = self._held.partition(CLOSE)
        if not found:
            num_clear = len(thought) - num_undecided(thought, [CLOSE])
            num_clear -= num_trailing_spaces(thought[:num_clear])
            thought, rest = thought[:num_clear], thought[num_clear:]
        thought = thought.rstrip()
        if thought:
            self._is_blank = False
            yield ReasoningDelta(self._index, thought)
        self._held = rest
        if found:
            self._has_ended = self._is_blank = True


class ReasoningMeter:
    """Counts the tokens of one answer's thought, its marks not included.

    Args:
        tokenizer: knows the tokens' texts.
        is_open: whether the answer begins in the midst of its thought.
    """

    def __init__(self, tokenizer: Tokenizer, *, is_open: bool) -> None:
        self._tokenizer = tokenizer
        self._tail = OPEN if is_open else ""
        self._state = "open" if is_open else "before"
        self.num_tokens = 0

    def push(self, token_ids: Sequence[int]) -> None:
        """Count further tokens of the answer."""
        for token in token_ids:
            if self._state == "closed":
                return
            self._tail = (self._tail + self._tokenizer.token_text(token))[-64:]
            if self._state == "before":
                self._look_for_beginning()
            elif CLOSE in self._tail:
                self._state = "closed"
            else:
                self.num_tokens += 1

    def _look_for_beginning(self) -> None:
        text = self._tail.lstrip()
        if text.startswith(OPEN):
            self._state, self._tail = "open", ""
        elif not OPEN.startswith(text):
            self._state = "closed"
