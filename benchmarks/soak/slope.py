"""Does a series grow? A slope that single bursts do not move, and what it is uncertain by.

Samples are gathered into bins by their median, so that what comes and goes within seconds does not
count. The slope is Theil's and Sen's: the median of the slopes between all pairs of bins. Its
interval is Kendall's, made wider where neighbours are alike: memory that was taken for a while and
given back says less of a trend than as many independent values would.
"""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_Z: Final = 1.96
"""95 %, two-sided."""
_MIN_BINS: Final = 8
_MAX_LIKENESS: Final = 0.8


@dataclass(frozen=True, slots=True)
class Slope:
    """A change a second, and the interval that holds it with 95 %."""

    value: float
    low: float
    high: float


def robust_slope(
    times: Sequence[float], values: Sequence[float], num_bins: int = 40
) -> Slope | None:
    """The slope of a series; None: it is too short to tell."""
    points = _binned(times, values, num_bins)
    if len(points) < _MIN_BINS:
        return None
    slopes = sorted(
        (later_value - value) / (later - time)
        for index, (time, value) in enumerate(points)
        for later, later_value in points[index + 1 :]
    )
    middle = statistics.median(slopes)
    count = len(points)
    deviation = math.sqrt(count * (count - 1) * (2 * count + 5) / 18 * _widening(points, middle))
    half = _Z * deviation / 2
    low = slopes[max(0, math.floor(len(slopes) / 2 - half))]
    high = slopes[min(len(slopes) - 1, math.ceil(len(slopes) / 2 + half))]
    return Slope(middle, low, high)


def _binned(
    times: Sequence[float], values: Sequence[float], num_bins: int
) -> list[tuple[float, float]]:
    if not times or times[-1] <= times[0]:
        return []
    width = (times[-1] - times[0]) / num_bins
    bins: list[list[tuple[float, float]]] = [[] for _ in range(num_bins)]
    for time, value in zip(times, values, strict=True):
        bins[min(num_bins - 1, int((time - times[0]) / width))].append((time, value))
    return [
        (statistics.fmean(at for at, _ in one), statistics.median(value for _, value in one))
        for one in bins
        if one
    ]


def _widening(points: Sequence[tuple[float, float]], slope: float) -> float:
    """By what the variance is greater than that of independent values."""
    rests = [value - slope * time for time, value in points]
    middle = statistics.fmean(rests)
    variance = sum((rest - middle) ** 2 for rest in rests)
    if variance == 0:
        return 1.0
    pairs = itertools.pairwise(rests)
    likeness = sum((one - middle) * (next_ - middle) for one, next_ in pairs) / variance
    likeness = min(_MAX_LIKENESS, max(0.0, likeness))
    return (1 + likeness) / (1 - likeness)
