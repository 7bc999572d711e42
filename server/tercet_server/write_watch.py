"""Ends connections whose client takes nothing in, so that what waits to be sent does not stay.

A transport that is closed waits until everything is sent, for ever if need be. Here it may wait as
long as its client reads on, however slowly.
"""

import asyncio
from typing import Final

MAX_STILL_SECONDS: Final = 60.0


class WriteWatch:
    """Looks at one connection now and then, once begun, until nothing waits to be sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._num_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look from now on."""
        if self._timer is None:
            self._num_bytes = self._transport.get_write_buffer_size()
            self._timer = self._loop.call_later(MAX_STILL_SECONDS, self._look)

    def end(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        num_bytes = self._transport.get_write_buffer_size()
        if num_bytes >= self._num_bytes > 0:
            self._transport.abort()
        elif num_bytes:
            self.begin()
