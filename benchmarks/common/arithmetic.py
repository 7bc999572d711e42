"""The arithmetic of measurements: percentiles, and when requests arrive."""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Self


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all lie, between two neighbours in proportion.

    Nothing has no percentile: not a number.
    """
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of one kind of measurement."""

    p50: float
    p90: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarise."""
        p50, p90, p99 = (percentile(values, share) for share in (0.5, 0.9, 0.99))
        return cls(p50, p90, p99, len(values))

    def as_json(self) -> dict[str, float]:
        """Every number by its name."""
        return asdict(self)


def poisson_arrivals(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """When requests of clients that know nothing of each other arrive, `rate` a second on average.

    The same seed gives the same times.
    """
    draw = random.Random(seed)
    now = draw.expovariate(rate)
    while now < seconds:
        yield now
        now += draw.expovariate(rate)


def powers_of_two(low: int, high: int) -> list[int]:
    """From `low`, doubling, and `high` at the end."""
    values = []
    while low < high:
        values.append(low)
        low *= 2
    return [*values, high]
