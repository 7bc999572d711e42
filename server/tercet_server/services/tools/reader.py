"""Reads an answer that may call tools: text, then calls.

    TEXT ── opening ──▶ HEAD ── name ──▶ ARGUMENTS ── end of the object ──▶ AFTER
                          ▲                                                   │
                          └──────────────────── opening ──────────────────────┘

An answer is held to a grammar once a call has begun, so what follows an opening is a call. Where
calls have no opening, an answer is one if it begins as one. What might be the beginning of a call
is held back until it is clear, and so is white space, which is no text if a call follows it.
"""

import secrets
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from tercet_server.protocol.common import FinishReason
from tercet_server.services.events import (
    AnswerEnd,
    AnswerEvent,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.held_text import num_trailing_spaces, num_undecided
from tercet_server.services.tools.formats import ToolFormat
from tercet_server.services.tools.json_end import ObjectEnd


class _State(Enum):
    TEXT = auto()
    HEAD = auto()
    ARGUMENTS = auto()
    AFTER = auto()
    ONLY_TEXT = auto()


class ToolReader:
    """Reads one answer.

    Args:
        index: of the answer.
        form: how the model calls tools.
        names: of the tools that it may call.
        end_reason: what to say of an answer that ends with a call.
    """

    def __init__(
        self, index: int, form: ToolFormat, names: Iterable[str], end_reason: FinishReason
    ) -> None:
        self._index = index
        self._form = form
        self._names = {form.head(name): name for name in names}
        self._end_reason = end_reason
        self._state = _State.TEXT if form.opening else _State.HEAD
        self._held = ""
        self._num_calls = 0
        self._object = ObjectEnd()

    def push(self, text: str) -> Iterator[AnswerEvent]:
        """What has become clear."""
        self._held += text
        state = None
        while state is not self._state:
            state = self._state
            match state:
                case _State.TEXT:
                    yield from self._read_text()
                case _State.HEAD:
                    yield from self._read_head()
                case _State.ARGUMENTS:
                    yield from self._read_arguments()
                case _State.AFTER:
                    self._read_closing()
                case _State.ONLY_TEXT:
                    yield from self._let_out(len(self._held))

    def finish(self, reason: FinishReason) -> Iterator[AnswerEvent]:
        """What was text after all, and the end; of a call that was cut before its name, nothing."""
        if self._state is _State.TEXT or (self._state is _State.HEAD and not self._form.opening):
            yield from self._let_out(len(self._held))
        is_call = self._state is _State.AFTER and reason == "stop"
        yield AnswerEnd(self._index, self._end_reason if is_call else reason)

    def _read_text(self) -> Iterator[AnswerEvent]:
        opening = self._form.opening
        text, found, rest = self._held.partition(opening)
        if found:
            yield from self._let_out(num_chars=len(text.rstrip()))
            self._held, self._state = rest, _State.HEAD
            return
        num_clear = len(text) - num_undecided(text, [opening])
        yield from self._let_out(num_clear - num_trailing_spaces(text[:num_clear]))

    def _read_head(self) -> Iterator[AnswerEvent]:
        text = self._held.lstrip()
        for head, name in self._names.items():
            if text.startswith(head):
                self._held, self._state = text[len(head) :], _State.ARGUMENTS
                self._object = ObjectEnd()
                self._num_calls += 1
                call_id = f"call_{secrets.token_hex(12)}"
                yield ToolCallStart(self._index, self._num_calls - 1, call_id, name)
                return
        if not any(head.startswith(text) for head in self._names):
            self._held = self._form.opening + self._held
            self._state = _State.ONLY_TEXT

    def _read_arguments(self) -> Iterator[AnswerEvent]:
        end = self._object.push(self._held)
        arguments = self._held[:end]
        if arguments:
            yield ToolCallArguments(self._index, self._num_calls - 1, arguments)
        self._held = self._held[len(arguments) :]
        if end is not None:
            self._state = _State.AFTER

    def _read_closing(self) -> None:
        opening = self._form.opening
        if not opening:
            self._held = ""
            return
        _, found, rest = self._held.partition(opening)
        if found:
            self._held, self._state = rest, _State.HEAD

    def _let_out(self, num_chars: int) -> Iterator[AnswerEvent]:
        text, self._held = self._held[:num_chars], self._held[num_chars:]
        if text:
            yield TextDelta(self._index, text)
