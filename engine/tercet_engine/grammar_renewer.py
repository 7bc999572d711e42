"""A thread that makes new matchers: one at a time, and of each grammar one in turn.

So completions of a grammar that needs many wait for each other first. Who asks has a completion
that cannot go on without, so nobody can ask for more at once than there are completions.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

T = TypeVar("T")
_Work = tuple[Future[Any], Callable[[], Any]]


class Renewer:
    """Does work in turns. `close` it when done."""

    def __init__(self) -> None:
        self._lines: Final[dict[object, deque[_Work]]] = {}
        """Of each whose turn comes, what is to be done. Empty while its last is being done."""
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tercet-renewal")

    def submit(self, whose: object, work: Callable[[], T]) -> "Future[T]":
        """Do something when its turn has come. What is cancelled before is not done.

        Args:
            whose: turn it is.
            work: is called on the thread.
        """
        future: Future[T] = Future()
        with self._lock:
            is_waiting = whose in self._lines
            self._lines.setdefault(whose, deque()).append((future, work))
            if not is_waiting:
                self._take_turn(whose)
        return future

    def close(self) -> None:
        """Do nothing more; what is being done ends by itself."""
        with self._lock:
            self._thread.shutdown(wait=False, cancel_futures=True)
            for whose in list(self._lines):
                self._take_turn(whose)

    def _take_turn(self, whose: object) -> None:
        """Put somebody at the end; where no turn comes any more, cancel what they asked for."""
        try:
            self._thread.submit(self._do_next, whose)
        except RuntimeError:
            for future, _ in self._lines.pop(whose):
                future.cancel()

    def _do_next(self, whose: object) -> None:
        with self._lock:
            if not (line := self._lines.get(whose)):
                return
            future, work = line.popleft()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 -- panics of libraries are no Exceptions
                future.set_exception(error)
        with self._lock:
            if self._lines.get(whose):
                self._take_turn(whose)
            else:
                self._lines.pop(whose, None)
