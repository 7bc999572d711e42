"""A line that says how far the run is: over itself on a terminal, every half minute elsewhere."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from benchmarks.soak.sample import Sample
from benchmarks.soak.verdict import Run

_LINE_SECONDS: Final = 30.0


class Progress:
    """Tells on standard error."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._begun = clock()
        self._said = 0.0
        self._is_terminal = sys.stderr.isatty()

    def tell(self, sample: Sample, run: Run) -> None:
        """Say it, if it is time."""
        now = self._clock()
        if not self._said:
            self._begun = now
        elif not self._is_terminal and now - self._said < _LINE_SECONDS:
            return
        self._said = now
        end = "\x1b[K\r" if self._is_terminal else "\n"
        sys.stderr.write(self._line(now - self._begun, sample, run) + end)
        sys.stderr.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            sys.stderr.write("\n")

    def _line(self, elapsed: float, sample: Sample, run: Run) -> str:
        left = max(0.0, self._seconds - elapsed)
        at = datetime.now().astimezone() + timedelta(seconds=left)
        count = sum(sample.statuses.values())
        refused = sample.statuses.get(429, 0) / max(1, count)
        return (
            f"{_minutes(elapsed)} of {_minutes(self._seconds)}, until {at:%H:%M:%S}: "
            f"{sample.rss / 1e6:.0f} MB, {count} answers ({refused:.0%} 429), "
            f"{sample.running:.0f} run, {sample.waiting:.0f} wait, {sample.blocks:.0f} blocks, "
            f"{sample.descriptors} descriptors, {sum(run.tally.problems.values())} problems, "
            f"{len(run.seeded.differences)} differences"
        )


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
