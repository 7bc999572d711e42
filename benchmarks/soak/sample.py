"""One look at the soaked server: its process, its own metrics, how quickly it answered."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one time. Bytes, seconds, counts; counters are totals since the start.

    Attributes:
        at: seconds since the run began.
        rss: resident memory.
        parts: of it by who asked for it, and pss and private; empty where it was not looked at.
        threads: of the process.
        descriptors: all open files.
        sockets: those of them that are sockets.
        cpu: seconds of CPU used.
        store: bytes of the store's files.
        blocks: blocks of the KV cache that are held.
        all_blocks: that there are.
        running: completions being computed.
        waiting: completions in line.
        in_flight: requests, this look's own included.
        steps: batches computed.
        lags: how often the event loop was late, by bucket's upper bound, summed up to each.
        health: how long /health took, on a connection that is kept.
        fresh: the same on a new connection, which waits for those that came before it.
        own_lag: how late the harness itself was: a busy host is late everywhere.
        kinds: answers that clients got, by what they asked.
        statuses: the same by status.
        told: requests that the server counted, by status.
    """

    at: float
    rss: int
    parts: Mapping[str, int]
    threads: int
    descriptors: int
    sockets: int
    cpu: float
    store: int
    blocks: float
    all_blocks: float
    running: float
    waiting: float
    in_flight: float
    steps: float
    lags: Mapping[float, float]
    health: float
    fresh: float
    own_lag: float
    kinds: Mapping[str, int]
    statuses: Mapping[int, int]
    told: Mapping[int, float]

    def as_json(self) -> dict[str, Any]:
        """Every value by its name."""
        return asdict(self)


def late_share(before: Sample, after: Sample, seconds: float) -> float:
    """Of the looks at the event loop between two samples: the share that was later than that."""
    count = _between(before, after, max(after.lags, default=0.0))
    in_time = _between(before, after, seconds)
    return (count - in_time) / count if count else 0.0


def lag_below(before: Sample, after: Sample, share: float) -> float:
    """By how much that share of the looks between two samples was late at most.

    Within a bucket they are taken to be spread evenly.
    """
    low, num_below = 0.0, 0.0
    wanted = share * _between(before, after, max(after.lags, default=0.0))
    for bound in sorted(after.lags):
        count = _between(before, after, bound)
        if count >= wanted:
            in_bucket = count - num_below
            if not in_bucket or math.isinf(bound):
                return low
            return low + (bound - low) * (wanted - num_below) / in_bucket
        low, num_below = bound, count
    return low


def _between(before: Sample, after: Sample, bound: float) -> float:
    return after.lags.get(bound, 0.0) - before.lags.get(bound, 0.0)
