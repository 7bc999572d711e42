"""How much memory the heads of all requests take: those being read, and those not yet answered.

A head of 64 KiB is many times as large once it is a list of Python's strings. A connection's first
few kilobytes are always taken, so that few clients cannot shut out all: how many connections there
may be bounds them.
"""

from typing import Final

from tercet_server.errors import ServerError, TooManyHeaders, TooManyRequests

MAX_HELD_BYTES: Final = 16 * 2**20
SMALL_BYTES: Final = 8 * 1024
MAX_HEADERS: Final = 128
MAX_PIPELINED: Final = 8
"""Requests that may wait on one connection behind the one that is being answered."""
_BYTES_OF_A_HEADER: Final = 160
"""Of a pair of short strings in a list."""
_BYTES_OF_A_REQUEST: Final = 2048


class HeldHeads:
    """What all connections of a server hold."""

    def __init__(self) -> None:
        self.num_bytes = 0


class HeadsOfConnection:
    """What one of them holds. Every method but `answered` and `close` returns why not to go on."""

    def __init__(self, all_held: HeldHeads) -> None:
        self._all = all_held
        self._num_bytes = 0
        self._num_headers = 0
        self._of_head = 0
        self._of_unanswered: list[int] = []

    def begin(self) -> ServerError | None:
        """A request begins."""
        self._num_headers = 0
        if len(self._of_unanswered) > MAX_PIPELINED:
            return TooManyRequests(MAX_PIPELINED, "requests behind another on one connection")
        return self._hold(_BYTES_OF_A_REQUEST)

    def add_header(self) -> ServerError | None:
        """It has one more header."""
        self._num_headers += 1
        if self._num_headers > MAX_HEADERS:
            return TooManyHeaders(MAX_HEADERS)
        return self._hold(_BYTES_OF_A_HEADER)

    def add_bytes(self, num_bytes: int) -> ServerError | None:
        """So much more of it has come, and it is still without end."""
        return self._hold(num_bytes)

    def complete(self) -> None:
        """It has been read."""
        self._of_unanswered.append(self._of_head)
        self._of_head = 0

    def answered(self) -> None:
        """The first of those that have been read is over."""
        if self._of_unanswered:
            self._release(self._of_unanswered.pop(0))

    def close(self) -> None:
        """The connection is over."""
        self._release(self._num_bytes)

    def _hold(self, num_bytes: int) -> ServerError | None:
        is_full = self._all.num_bytes + num_bytes > MAX_HELD_BYTES
        if is_full and self._num_bytes + num_bytes > SMALL_BYTES:
            return TooManyRequests(MAX_HELD_BYTES, "bytes of requests' heads")
        self._of_head += num_bytes
        self._num_bytes += num_bytes
        self._all.num_bytes += num_bytes
        return None

    def _release(self, num_bytes: int) -> None:
        self._num_bytes -= num_bytes
        self._all.num_bytes -= num_bytes
