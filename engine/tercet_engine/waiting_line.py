"""The door to the engine's line: who is let in, how long one may wait, and when to come back.

A line may be too long by what waits in it, and by how long it would take. The second is told by how
fast prompts were computed of late; the estimate may be wrong by half before anybody who was let in
waits longer than allowed, and whoever does is sent away by the clock.

While places are free one waits for other prompts; where all are taken, for an answer to end, which
takes much longer. So the pace is measured apart for the two.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

from tercet_engine.config import EngineConfig
from tercet_engine.errors import EngineOverloaded, TooManyChoices, WaitedTooLong
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_engine.stats import DrainRate

_SHARE_OF_WAIT: Final = 0.5
"""Of the longest wait allowed, how much may be expected when somebody is let in."""


class WaitingLine:
    """Counts who waits and measures how fast they are served. Of one thread, the event loop's.

    Attributes:
        num_tokens: prompt tokens of those that have no token yet.
        refusals: requests sent away, by reason.
    """

    def __init__(self, config: EngineConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._num_open = 0
        self._ends = DrainRate(clock)  # while all places are taken
        self._starts_when_free = DrainRate(clock)
        self._starts_when_full = DrainRate(clock)
        self.num_tokens = 0
        self.refusals = {"requests": 0, "tokens": 0, "queue_time": 0}

    def check(self, sequences: Sequence[TokenSequence], *, is_patient: bool = False) -> None:
        """Return if there is room for all sequences of a request.

        Args:
            sequences: that would like to be computed.
            is_patient: however long it takes.

        Raises:
            TooManyChoices: there never will be.
            EngineOverloaded: not now; it says when to come back.
        """
        config = self._config
        max_places = config.max_sequences + config.max_waiting_requests
        if len(sequences) > max_places:
            raise TooManyChoices(len(sequences), max_places)
        self._check_room(len(sequences), sum(seq.num_prompt_tokens for seq in sequences))
        if not is_patient:
            self._check_wait()

    def check_smallest(self) -> None:
        """Return if there is room for one sequence of one token. Raises what `check` raises."""
        self._check_room(1, 1)
        self._check_wait()

    def enter(self, seq: TokenSequence) -> None:
        """A sequence waits for its first token."""
        self._num_open += 1
        self.num_tokens += seq.num_prompt_tokens
        self._let_time_pass()

    def start(self, seq: TokenSequence) -> None:
        """It has its first token."""
        self._starts.left(seq.num_prompt_tokens)
        self.num_tokens -= seq.num_prompt_tokens
        self._let_time_pass()

    def leave(self, seq: TokenSequence, *, has_started: bool) -> None:
        """It is finished, or given up."""
        if self._is_full:
            self._ends.left(1)
        self._num_open -= 1
        if not has_started:
            self.num_tokens -= seq.num_prompt_tokens
        self._let_time_pass()

    def timed_out(self) -> WaitedTooLong:
        """Send a request away that has waited as long as it may."""
        return self._too_slow()

    def _check_room(self, num_sequences: int, num_tokens: int) -> None:
        config = self._config
        max_places = config.max_sequences + config.max_waiting_requests
        if (excess := self._num_open + num_sequences - max_places) > 0:
            self.refusals["requests"] += 1
            limit = config.max_waiting_requests
            raise EngineOverloaded("requests", limit, self._ends.seconds_until(excess))
        excess = self.num_tokens + num_tokens - config.max_waiting_tokens
        if self.num_tokens and excess > 0:
            self.refusals["tokens"] += 1
            limit = config.max_waiting_tokens
            raise EngineOverloaded("prompt tokens", limit, self._starts.seconds_until(excess))

    def _check_wait(self) -> None:
        limit = self._config.max_queue_seconds
        if limit is None or not self.num_tokens:
            return
        expected = self._starts.expected_seconds(self.num_tokens)
        if expected is not None and expected > limit * _SHARE_OF_WAIT:
            raise self._too_slow()

    def _too_slow(self) -> WaitedTooLong:
        """Come back when those who wait now have been served."""
        self.refusals["queue_time"] += 1
        limit = self._config.max_queue_seconds
        assert limit is not None, "without a limit nobody waits too long"
        return WaitedTooLong(limit, self._starts.seconds_until(self.num_tokens))

    @property
    def _is_full(self) -> bool:
        """Whether somebody waits for a place."""
        return self._num_open > self._config.max_sequences

    @property
    def _starts(self) -> DrainRate:
        return self._starts_when_full if self._is_full else self._starts_when_free

    def _let_time_pass(self) -> None:
        """Each clock runs while there is something to leave in its way."""
        waits = {
            self._ends: self._is_full,
            self._starts_when_full: self._is_full and self.num_tokens > 0,
            self._starts_when_free: not self._is_full and self.num_tokens > 0,
        }
        for rate, is_busy in waits.items():
            if is_busy:
                rate.begin()
            else:
                rate.pause()
