"""What the engine has done, as plain numbers, and how fast its waiting line moves.

The engine's thread writes the counters and any thread may read them: each is one int, so a reader
sees every value whole, if not all of the same instant.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from tercet_engine.histogram import HistogramCounts

MIN_RETRY_SECONDS: Final = 1.0
MAX_RETRY_SECONDS: Final = 120.0


@dataclass(slots=True)
class Counters:
    """Totals since the start."""

    num_steps: int = 0
    num_prompt_tokens: int = 0
    num_cached_tokens: int = 0
    num_computed_tokens: int = 0
    num_generated_tokens: int = 0
    num_finished: int = 0
    num_aborted: int = 0


@dataclass(frozen=True, slots=True)
class EngineStats:
    """One look at the engine. Counts of now first, then totals since the start.

    Attributes:
        num_running: sequences whose tokens are being computed.
        num_waiting: sequences that wait to be admitted.
        num_free_blocks: blocks of the KV cache that no sequence holds.
        num_blocks: all blocks of the KV cache.
        num_steps: batches computed.
        num_prompt_tokens: prompt tokens of admitted sequences.
        num_cached_tokens: those of them found in the prefix cache.
        num_computed_tokens: tokens put through the model, recomputed ones again.
        num_generated_tokens: tokens drawn.
        num_finished: sequences that came to their end.
        num_aborted: sequences whose client left, or that a shutdown ended.
        num_preemptions: times a sequence gave its blocks to an older one.
        num_drafted_tokens: tokens guessed and computed beside the one they follow.
        num_accepted_tokens: those of them that were right.
        num_refused: requests refused because the line was full, or too long a wait.
        head: how tokens were drawn: "screened" from half of the head, with so many logits
            "finished"; from "full" rows of logits, "undecided" ones of them after a screening.
        num_waiting_tokens: prompt tokens of the sequences that have no token yet.
        refusals: `num_refused` by reason: "requests" or "tokens" in line, "queue_time", and
            "grammar_time", when others' grammars took all that a new one may wait.
        histograms: by name, see `Latencies` and `EngineCore`.
    """

    num_running: int
    num_waiting: int
    num_free_blocks: int
    num_blocks: int
    num_steps: int
    num_prompt_tokens: int
    num_cached_tokens: int
    num_computed_tokens: int
    num_generated_tokens: int
    num_finished: int
    num_aborted: int
    num_preemptions: int
    num_drafted_tokens: int
    num_accepted_tokens: int
    num_refused: int
    head: Mapping[str, int]
    num_waiting_tokens: int = 0
    refusals: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, HistogramCounts] = field(default_factory=dict)


class DrainRate:
    """How fast something leaves while there is something to leave, over the last departures.

    Only the time counts in which somebody waits: a server that had nothing to do all night is no
    slower in the morning.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, window: int = 64) -> None:
        self._clock = clock
        self._busy_before = 0.0
        self._busy_since: float | None = None
        self._departures: deque[tuple[float, int]] = deque(maxlen=window)

    def begin(self) -> None:
        """From now on there is something to leave; says nothing new where there was already."""
        if self._busy_since is None:
            self._busy_since = self._clock()
            if not self._departures:  # the first departure is timed from here
                self._departures.append((self._busy_seconds, 0))

    def pause(self) -> None:
        """Nothing is left."""
        self._busy_before = self._busy_seconds
        self._busy_since = None

    def left(self, amount: int) -> None:
        """Record that `amount` left just now."""
        self._departures.append((self._busy_seconds, amount))

    def expected_seconds(self, amount: int) -> float | None:
        """Guess when `amount` more will have left; None before there is a rate.

        The time since the last departure counts, so that an engine which has stalled is not called
        fast.
        """
        if len(self._departures) < 2:
            return None
        first_seconds, first_amount = self._departures[0]
        elapsed = self._busy_seconds - first_seconds
        num_left = sum(departed for _, departed in self._departures) - first_amount
        return elapsed * amount / num_left if num_left else MAX_RETRY_SECONDS

    def seconds_until(self, amount: int) -> float:
        """The same between 1 and 120 s; the least before there is a rate."""
        seconds = self.expected_seconds(amount) or MIN_RETRY_SECONDS
        return min(max(seconds, MIN_RETRY_SECONDS), MAX_RETRY_SECONDS)

    @property
    def _busy_seconds(self) -> float:
        since = self._busy_since
        return self._busy_before + (0.0 if since is None else self._clock() - since)
