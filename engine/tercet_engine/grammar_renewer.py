"""A thread that makes new matchers, one at a time, in the order in which they are asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Renewer:
    """Does work on its thread. `close` it when done."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tercet-renewal")

    def submit(self, work: Callable[[], T]) -> "Future[T]":
        """Do something when its turn has come; after the end it is cancelled."""
        try:
            return self._thread.submit(work)
        except RuntimeError:
            future: Future[T] = Future()
            future.cancel()
            return future

    def close(self) -> None:
        """Do nothing more; what is being done ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)
