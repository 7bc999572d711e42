"""A conversation in the terminal: what is said, by whom, and what the lines with a slash do.

Knows neither HTTP nor the engine: an `Answerer` is asked. Reads lines and writes text; whether that
is a terminal or a pipe is decided by whoever makes it.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

Message = dict[str, str]

HELP: Final = """\
/system TEXT   set the system prompt (without TEXT: remove it)
/clear         forget what has been said
/help          this list
/exit          leave; so does Ctrl-D
Ctrl-C         stop the answer"""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of an answer, as it arrives.

    Attributes:
        text: may be empty.
        num_tokens: tokens that it brings.
        finish_reason: of the last piece that has one: "stop" or "length".
    """

    text: str
    num_tokens: int
    finish_reason: str | None = None


class ChatError(Exception):
    """This answer failed; another may succeed. The message is the sentence to show."""


class Answerer(Protocol):
    """Whoever answers: a server or a model in this process."""

    @property
    def name(self) -> str:
        """The model's name."""

    def answer(self, messages: Sequence[Message]) -> Iterator[Piece]:
        """Continue a conversation.

        Raises:
            ChatError: it could not.
            KeyboardInterrupt: the reader stopped it.
        """

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True, slots=True)
class Screen:
    """Where the conversation is read and written.

    Attributes:
        lines: what the user types, a line each; ends at end of file.
        write: shows a stretch of the answer at once.
        note: shows a line about the conversation that is not part of it.
    """

    lines: Iterable[str]
    write: Callable[[str], None]
    note: Callable[[str], None]


@dataclass(slots=True)
class Conversation:
    """The messages so far, and the loop that adds to them.

    Args:
        answerer: is asked.
        screen: is read and written.
        system: the system prompt; empty: none.
        is_interactive: an error is shown and the conversation goes on; else it is raised.
        clock: seconds.
    """

    answerer: Answerer
    screen: Screen
    system: str = ""
    is_interactive: bool = True
    clock: Callable[[], float] = time.monotonic
    _messages: list[Message] = field(default_factory=list)

    def run(self) -> None:
        """Answer line after line until /exit or the end of the input.

        Raises:
            ChatError: an answer failed and nobody is there to try again.
        """
        for line in self.screen.lines:
            text = line.strip()
            if text in {"/exit", "/quit"}:
                return
            if text.startswith("/"):
                self._obey(text)
            elif text:
                self._ask(text)

    def _obey(self, text: str) -> None:
        command, _, rest = text.partition(" ")
        match command:
            case "/help":
                self.screen.note(HELP)
            case "/clear":
                self._messages.clear()
                self.screen.note("forgotten")
            case "/system":
                self.system = rest.strip()
                self.screen.note("system prompt set" if self.system else "no system prompt")
            case _:
                self.screen.note(f"there is no {command}; /help lists what there is")

    def _ask(self, text: str) -> None:
        self._messages.append({"role": "user", "content": text})
        system = [{"role": "system", "content": self.system}] if self.system else []
        pieces: list[str] = []
        pace = _Pace(self.clock)
        ending = ""
        try:
            for piece in self.answerer.answer([*system, *self._messages]):
                pace.count(piece.num_tokens)
                pieces.append(piece.text)
                self.screen.write(piece.text)
                if piece.finish_reason == "length":
                    ending = ", cut at its greatest length"
        except KeyboardInterrupt:
            if not self.is_interactive:
                raise
            ending = ", stopped"
        except ChatError as error:
            self._messages.pop()
            if not self.is_interactive:
                raise
            self.screen.write("\n" if pieces else "")
            self.screen.note(str(error))
            return
        self.screen.write("\n")
        self.screen.note(f"{pace.summary()}{ending}")
        if answer := "".join(pieces):
            self._messages.append({"role": "assistant", "content": answer})
        else:  # stopped before it began: the question has not been dealt with
            self._messages.pop()


class _Pace:
    """How fast an answer comes."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._asked_at = clock()
        self._first_at: float | None = None
        self._last_at = self._asked_at
        self._num_first = self._num_tokens = 0

    def count(self, num_tokens: int) -> None:
        if not num_tokens:
            return
        self._last_at = self._clock()
        self._num_tokens += num_tokens
        if self._first_at is None:
            self._first_at = self._last_at
            self._num_first = num_tokens

    def summary(self) -> str:
        """Tokens, the wait for the first, and the speed of those after it."""
        if self._first_at is None:
            return "no tokens"
        words = [
            f"{self._num_tokens} tokens",
            f"first after {self._first_at - self._asked_at:.2f} s",
        ]
        seconds = self._last_at - self._first_at
        if seconds > 0:
            words.append(f"{(self._num_tokens - self._num_first) / seconds:.1f} tokens/s")
        return ", ".join(words)
