"""How far loading has come: a bar on a terminal, now and then a line elsewhere, or nothing."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tercet_engine import ProgressListener, Silent

SECONDS_BETWEEN_LINES: Final = 5.0


class LoadingBar:
    """A bar on a terminal.

    Args:
        console: the terminal.
        name: of the model, where there are several.
        doing: what is done, a verb in -ing.
    """

    def __init__(self, console: Console, name: str = "", doing: str = "loading") -> None:
        self._progress = Progress(
            TextColumn(f"{doing} {name}".rstrip(), markup=False),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task(doing, total=None)

    def start(self, total_bytes: int) -> None:
        """Show the bar."""
        self._progress.update(self._task, total=total_bytes)
        self._progress.start()

    def advance(self, num_bytes: int, what: str) -> None:  # noqa: ARG002 -- the listener's form
        """Move it on."""
        self._progress.advance(self._task, num_bytes)

    def finish(self) -> None:
        """Take the bar away; also right where there is none."""
        self._progress.stop()


class LoadingLines:
    """A line when loading begins, one every few seconds, and one at its end.

    Args:
        say: writes a line.
        clock: seconds.
        name: of the model, where there are several.
        doing: what is done, a verb in -ing.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        name: str = "",
        doing: str = "loading",
    ) -> None:
        self._doing = doing
        self._say = (lambda line: say(f"{name}: {line}")) if name else say
        self._clock = clock
        self._started_at = self._said_at = 0.0
        self._total_bytes = self._done_bytes = 0

    def start(self, total_bytes: int) -> None:
        """Say how much there is to do."""
        self._total_bytes, self._done_bytes = total_bytes, 0
        self._started_at = self._said_at = self._clock()
        self._say(f"{self._doing} {total_bytes / 1e6:,.0f} MB")

    def advance(self, num_bytes: int, what: str) -> None:  # noqa: ARG002 -- the listener's form
        """Say how much is done, unless that was said a moment ago."""
        self._done_bytes += num_bytes
        if self._clock() - self._said_at >= SECONDS_BETWEEN_LINES:
            self._said_at = self._clock()
            self._say(f"{self._doing}: {100 * self._done_bytes // max(1, self._total_bytes)} %")

    def finish(self) -> None:
        """Say how long it took."""
        done = f"{self._doing.removesuffix('ing')}ed"
        self._say(f"{done} in {self._clock() - self._started_at:.1f} s")


@contextlib.contextmanager
def showing_progress(doing: str = "loading", *, quiet: bool = False) -> Iterator[ProgressListener]:
    """A listener that suits where stderr goes; the terminal is left in order whatever happens."""
    if sys.stderr.isatty():
        bar = LoadingBar(Console(stderr=True), doing=doing)
        try:
            yield bar
        finally:
            bar.finish()
    elif quiet:
        yield Silent()
    else:
        yield LoadingLines(lambda line: print(line, file=sys.stderr, flush=True), doing=doing)
