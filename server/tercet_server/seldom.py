"""Keeps what uvicorn says of its clients from filling the log: anybody can make it say so.

Who is refused gets an answer that tells why. That somebody asks for WebSockets or HTTP/2 where
there are none is nobody's fault, and uvicorn's advice to install a library would not help.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from typing_extensions import override

SECONDS_APART: Final = 60.0
_OF_NO_USE: Final = ("Unsupported upgrade request", "No supported WebSocket library")
_MAX_MESSAGES: Final = 64


class Seldom(logging.Filter):
    """Lets each message through once a minute, and failures of the server's own always.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._num_left_out: dict[str, int] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is told; how often it was not is told with the next."""
        message = str(record.msg)
        if record.exc_info:
            return True
        if message.startswith(_OF_NO_USE):
            return False
        now = self._clock()
        if now - self._last.get(message, -SECONDS_APART) < SECONDS_APART:
            self._num_left_out[message] = self._num_left_out.get(message, 0) + 1
            return False
        if len(self._last) >= _MAX_MESSAGES:
            self._last.clear()
            self._num_left_out.clear()
        self._last[message] = now
        if num := self._num_left_out.pop(message, 0):
            record.msg = f"{message} ({num} times more since the last)"
        return True
