"""How late the event loop is: what a task that sleeps a little wakes up after its time.

Whatever holds the loop (a long template, a large body, a CPU that others use) shows there before
clients complain, and a request's own times do not tell it from the model's.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

SLEEP_SECONDS: Final = 0.25


@contextlib.contextmanager
def watching_loop(observe: Callable[[float], None]) -> Iterator[None]:
    """Measure the running loop meanwhile.

    Args:
        observe: is told by how many seconds it was late, four times a second.
    """
    watch = asyncio.create_task(_sleep_over_and_over(observe))
    try:
        yield
    finally:
        watch.cancel()


async def _sleep_over_and_over(observe: Callable[[float], None]) -> None:
    while True:
        due = time.perf_counter() + SLEEP_SECONDS
        await asyncio.sleep(SLEEP_SECONDS)
        observe(max(0.0, time.perf_counter() - due))
