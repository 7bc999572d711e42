"""Measures how fast memory can be read, in a process of its own.

The measurement reads a buffer far larger than any cache. In a child its memory does not count as
the model's, and the child stays, so that rounds of it can stand between rounds of the model: what
else the host does then slows both alike.
"""

import subprocess
import sys
from typing import IO, Final, Self, cast

from tercet_server.cli.failure import CommandError

MAX_BUFFER_BYTES: Final = 1 << 30
"""Servers share caches of hundreds of megabytes; less would in part be read from them."""
MIN_BUFFER_BYTES: Final = 1 << 26
NUM_ROUNDS: Final = 1
"""The best of several passes would be a luckier moment than any that the model gets."""


class BandwidthMeter:
    """The parent's end. A context manager: the child ends with it."""

    def __init__(self, num_threads: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- this very interpreter and module
            [sys.executable, "-m", __name__, str(num_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._asked = cast("IO[str]", self._process.stdin)
        self._answered = cast("IO[str]", self._process.stdout)

    def measure(self) -> float:
        """Bytes per second read by all threads together, several streams each, just now.

        Raises:
            CommandError: the child has ended.
        """
        try:
            self._asked.write("measure\n")
            self._asked.flush()
            return float(self._answered.readline())
        except (OSError, ValueError):
            message = "the measurement of the memory bandwidth has failed; is memory short?"
            raise CommandError(message) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def main() -> None:
    """The child: one measurement for each line that is read, until there are no more."""
    # The parent needs neither.
    from tercet_engine.machine import measure_bandwidth  # noqa: PLC0415
    from tercet_engine.resources import usable_memory_bytes  # noqa: PLC0415

    num_threads = int(sys.argv[1])
    for _ in sys.stdin:
        num_bytes = buffer_bytes(usable_memory_bytes())
        print(repr(measure_bandwidth(num_threads, num_bytes, NUM_ROUNDS)), flush=True)


def buffer_bytes(usable_bytes: int) -> int:
    """How large a buffer to read where so much memory is left: at most half of it."""
    return max(MIN_BUFFER_BYTES, min(MAX_BUFFER_BYTES, usable_bytes // 2))


if __name__ == "__main__":
    main()
