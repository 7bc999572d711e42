"""The engine's own thread: reads its letters between steps, and steps while there is work.

Nothing acts on the engine while it computes. Other threads post letters; the thread reads all that
have arrived before each step and sleeps when there is nothing to do.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from tercet_engine.completion import FinishReason
from tercet_engine.core import EngineCore, TokenOutput
from tercet_engine.sequence import Sequence as TokenSequence

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Add:
    """Compute these sequences."""

    sequences: Sequence[TokenSequence]


@dataclass(frozen=True, slots=True)
class End:
    """Compute no more of this sequence, for this reason."""

    sequence: TokenSequence
    reason: FinishReason


@dataclass(frozen=True, slots=True)
class Check:
    """Check the invariants and call `reply`, on the engine's thread, with what was found wrong."""

    reply: Callable[[AssertionError | None], None]


@dataclass(frozen=True, slots=True)
class Stop:
    """End the thread."""


Letter = Add | End | Check | Stop


class EngineThread:
    """Owns the core, steps it, and hands on what comes out.

    Args:
        core: used by this thread only, but for `stats`.
        on_outputs: called on the engine's thread after each step that drew tokens.
        on_death: called on the engine's thread when it ends by an error; it is the last call.
    """

    def __init__(
        self,
        core: EngineCore,
        *,
        on_outputs: Callable[[list[TokenOutput]], None],
        on_death: Callable[[], None],
    ) -> None:
        self._core = core
        self._on_outputs = on_outputs
        self._on_death = on_death
        self._inbox: SimpleQueue[Letter] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tercet-engine", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether letters are still read."""
        return self._thread.is_alive()

    def post(self, letter: Letter) -> None:
        """Send a letter; it is read before the next step."""
        self._inbox.put(letter)

    def close(self) -> None:
        """End the thread after the step it is in, and wait for it."""
        self.post(Stop())
        self._thread.join()

    def _run(self) -> None:
        try:
            while self._read_letters():
                if outputs := self._core.step():
                    self._on_outputs(outputs)
        except BaseException:
            _logger.critical("the engine's thread has died", exc_info=True)
            self._on_death()
        finally:
            self._core.close()
            self._answer_checks()

    def _read_letters(self) -> bool:
        """Act on every letter that has arrived; wait for one when idle. False: told to stop."""
        while True:
            try:
                letter = self._inbox.get(block=not self._core.has_work)
            except Empty:
                return True
            match letter:
                case Add(sequences):
                    self._core.add(sequences)
                case End(sequence, reason):
                    self._core.end(sequence, reason)
                case Check(reply):
                    reply(self._check())
                case Stop():
                    return False

    def _answer_checks(self) -> None:
        """Leave nobody waiting who asked too late."""
        with contextlib.suppress(Empty):
            while True:
                if isinstance(letter := self._inbox.get_nowait(), Check):
                    letter.reply(AssertionError("the engine's thread has ended"))

    def _check(self) -> AssertionError | None:
        try:
            self._core.check_invariants()
        except AssertionError as error:
            return error
        return None
