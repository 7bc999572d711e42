"""Counts of values by size, between fixed bounds: what a distribution was, in a few numbers.

One thread writes and any thread may read: a reader may see a value in its bucket and not yet in the
sum, never half a number.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

SECONDS_OF_A_WAIT: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0),
)
"""From a cached prompt of a small model to a long prompt behind others on a slow CPU."""
SECONDS_OF_A_TOKEN: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5, 10.0),
)
SECONDS_OF_AN_ANSWER: Final = (
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 1800.0),
)
POWERS_OF_TWO: Final = tuple(float(1 << exponent) for exponent in range(13))


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """One look at a histogram.

    Attributes:
        bounds: the largest value of each bucket, ascending.
        counts: of the values in each, not summed up; one more for what is beyond the last bound.
        total: the sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Histogram:
    """Counts values into buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds ascend"
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def observe(self, value: float) -> None:
        """Count a value; one that equals a bound is within it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def counts(self) -> HistogramCounts:
        """What was counted up to now."""
        return HistogramCounts(self._bounds, tuple(self._counts), self._total)
