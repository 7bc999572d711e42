"""How long clients of the engine waited: for their turn, the first token, the next, the last.

Counted where a token is handed to its stream, whether or not somebody reads it at once.
"""

import time
from collections.abc import Callable, Mapping

from tercet_engine.histogram import (
    SECONDS_OF_A_TOKEN,
    SECONDS_OF_A_WAIT,
    SECONDS_OF_AN_ANSWER,
    Histogram,
    HistogramCounts,
)


class Latencies:
    """The histograms of one engine."""

    def __init__(self) -> None:
        self.queue = Histogram(SECONDS_OF_A_WAIT)
        self.first_token = Histogram(SECONDS_OF_A_WAIT)
        self.between_tokens = Histogram(SECONDS_OF_A_TOKEN)
        self.total = Histogram(SECONDS_OF_AN_ANSWER)

    def counts(self) -> Mapping[str, HistogramCounts]:
        """All of them, by name."""
        return {
            "queue_seconds": self.queue.counts(),
            "first_token_seconds": self.first_token.counts(),
            "between_tokens_seconds": self.between_tokens.counts(),
            "total_seconds": self.total.counts(),
        }


class Stopwatch:
    """The times of one sequence; each is told to `latencies` as it is known.

    Attributes:
        queue_seconds: until its first step; None before.
    """

    def __init__(
        self, latencies: Latencies, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._latencies = latencies
        self._clock = clock
        self._submitted = clock()
        self._last_token: float | None = None
        self.queue_seconds: float | None = None

    def started(self) -> None:
        """Its first step begins."""
        self.queue_seconds = self._clock() - self._submitted
        self._latencies.queue.observe(self.queue_seconds)

    def token(self) -> None:
        """It has got a token."""
        now = self._clock()
        if self._last_token is None:
            self._latencies.first_token.observe(now - self._submitted)
        else:
            self._latencies.between_tokens.observe(now - self._last_token)
        self._last_token = now

    def finished(self) -> None:
        """It has come to its end by itself."""
        self._latencies.total.observe(self._clock() - self._submitted)
