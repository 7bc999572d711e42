"""How far fetching has come: a bar for each file on a terminal, now and then a line elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from tercet_engine import FetchListener, PlannedFile, SilentFetch
from tercet_server.cli.units import size, speed

SECONDS_BETWEEN_LINES: Final = 5.0
_MAX_NAME_CHARS: Final = 40


class FetchBars:
    """A bar for each file and, where there are several, one for all."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._total: TaskID | None = None

    def start(self, what: str, files: Sequence[PlannedFile]) -> None:
        """Show the bars, below those of models that came before."""
        self._tasks, self._total = {}, None
        for file in files:
            self._tasks[file.name] = self._add(file.name, file.num_bytes, file.num_done)
        if len(files) > 1:
            num_bytes = sum(file.num_bytes for file in files)
            self._total = self._add(what, num_bytes, sum(file.num_done for file in files))
        self._progress.start()

    def advance(self, name: str, num_bytes: int) -> None:
        """Move a file's bar, and that of all."""
        for task in (self._tasks.get(name), self._total):
            if task is not None and name in self._tasks:
                self._progress.advance(task, num_bytes)

    def note(self, text: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def finish(self) -> None:
        """Leave the bars as they are; also right where there are none."""
        self._progress.stop()

    def _add(self, name: str, num_bytes: int, num_done: int) -> TaskID:
        shown = name if len(name) <= _MAX_NAME_CHARS else f"…{name[1 - _MAX_NAME_CHARS :]}"
        return self._progress.add_task(shown, total=num_bytes, completed=num_done)


class FetchLines:
    """A line when fetching begins, one every few seconds, and one at its end.

    Args:
        say: writes a line.
        clock: seconds.
    """

    def __init__(
        self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._clock = clock
        self._started_at = self._said_at = 0.0
        self._num_bytes = self._num_done = self._num_at_start = 0
        self._names: frozenset[str] = frozenset()

    def start(self, what: str, files: Sequence[PlannedFile]) -> None:
        """Say how much there is to fetch."""
        self._names = frozenset(file.name for file in files)
        self._num_bytes = sum(file.num_bytes for file in files)
        self._num_done = self._num_at_start = sum(file.num_done for file in files)
        self._started_at = self._said_at = self._clock()
        count = f"{len(files)} files" if len(files) > 1 else files[0].name
        here = f", {size(self._num_done)} of it here already" if self._num_done else ""
        self._say(f"fetching {what}: {count}, {size(self._num_bytes)}{here}")

    def advance(self, name: str, num_bytes: int) -> None:
        """Say how much is done, unless that was said a moment ago."""
        if name not in self._names:
            return
        self._num_done += num_bytes
        now = self._clock()
        if now - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = now
            rate = max(1.0, (self._num_done - self._num_at_start) / (now - self._started_at))
            left = (self._num_bytes - self._num_done) / rate
            share = 100 * self._num_done // max(1, self._num_bytes)
            self._say(f"fetching: {share} %, {speed(rate)}, {left:.0f} s left")

    def note(self, text: str) -> None:
        """Say it."""
        self._say(text)

    def finish(self) -> None:
        """Say how long it took."""
        self._say(f"fetched in {self._clock() - self._started_at:.1f} s")


@contextlib.contextmanager
def showing_fetch(*, quiet: bool = False) -> Iterator[FetchListener]:
    """A listener that suits where stderr goes; the terminal is left in order whatever happens."""
    if sys.stderr.isatty():
        bars = FetchBars(Console(stderr=True))
        try:
            yield bars
        finally:
            bars.finish()
    elif quiet:
        yield SilentFetch()
    else:
        yield FetchLines(lambda line: print(line, file=sys.stderr, flush=True))
