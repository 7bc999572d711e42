"""How long a step takes, learnt from the steps before, and what may therefore go into the next.

Nothing here changes what is computed for a sequence, only when: tokens never depend on a clock.
"""

from dataclasses import dataclass
from typing import Final

MIN_CHUNK: Final = 16
"""Prompt tokens that a step takes in however slow it is, so that no prompt starves."""

_LEARNING_RATE: Final = 0.2
"""How much of what a prediction missed the next one makes good."""
_MAX_SURPRISE: Final = 2.0
"""A step that was interrupted by something else counts as this many times too slow at most."""


@dataclass(slots=True)
class Load:
    """What one step computes.

    Attributes:
        num_tokens: tokens put through the model.
        num_keys: keys that they attend to, all together.
        num_outputs: tokens after which one is drawn.
    """

    num_tokens: int = 0
    num_keys: int = 0
    num_outputs: int = 0

    def add(self, num_tokens: int, position: int, num_outputs: int) -> None:
        """Count a chunk whose first token is at `position`."""
        self.num_tokens += num_tokens
        self.num_keys += num_tokens * position + num_tokens * (num_tokens + 1) // 2
        self.num_outputs += num_outputs


class StepTimes:
    """Seconds of a step: a cost for the step, each token, each key and each output.

    A step that took longer than predicted raises every cost in proportion to its share in the
    prediction. So decoding teaches the cost of a step, prompts that of a token, long contexts that
    of a key; no cost is moved by steps in which it hardly counts, and none falls below zero.
    """

    def __init__(self) -> None:
        self.is_measured = False
        # Until they are measured, only the proportions mean anything: reading the weights once
        # takes as long as computing a few tokens.
        self._step, self._token, self._key, self._output = 4.0, 1.0, 0.001, 0.1

    def seconds(self, load: Load) -> float:
        """Predict how long a step will take."""
        return (
            self._step
            + self._token * load.num_tokens
            + self._key * load.num_keys
            + self._output * load.num_outputs
        )

    def chunk_seconds(self, num_tokens: int, position: int) -> float:
        """Predict how much a chunk whose first token is at `position` adds to a step."""
        load = Load()
        load.add(num_tokens, position, 0)
        return self._token * load.num_tokens + self._key * load.num_keys

    def output_seconds(self, position: int) -> float:
        """Predict how much one more token at `position`, with an output, adds to a step."""
        return self._token + self._output + self._key * (position + 1)

    def num_tokens_in(self, seconds: float, position: int) -> int:
        """Predict how many prompt tokens from `position` on can be added in so many seconds."""
        if seconds <= 0:
            return 0
        most = seconds / (self._token + self._key * position)
        # Halfway through the chunk there are more keys than at its beginning.
        return int(seconds / (self._token + self._key * (position + most / 2)))

    def observe(self, load: Load, seconds: float) -> None:
        """Learn from a step."""
        predicted = self.seconds(load)
        ratio = max(seconds, 1e-9) / predicted
        if not self.is_measured:
            self.is_measured = True
            self._step *= ratio
            self._token *= ratio
            self._key *= ratio
            self._output *= ratio
            return
        surprise = min(max(ratio, 1 / _MAX_SURPRISE), _MAX_SURPRISE) - 1
        parts = (
            self._step,
            self._token * load.num_tokens,
            self._key * load.num_keys,
            self._output * load.num_outputs,
        )
        gain = _LEARNING_RATE * surprise * predicted / sum(part * part for part in parts)
        self._step *= 1 + gain * parts[0]
        self._token *= 1 + gain * parts[1]
        self._key *= 1 + gain * parts[2]
        self._output *= 1 + gain * parts[3]


class StepBudget:
    """What one step may still take in of prompts.

    Args:
        tokens: tokens at most.
        seconds: time left beside the streams; None: as long as it takes.
        times: predicts what a token takes.
    """

    def __init__(self, tokens: int, seconds: float | None, times: StepTimes) -> None:
        self._tokens = tokens
        self._seconds = seconds
        self._times = times
        self._min_chunk = MIN_CHUNK

    @property
    def has_room(self) -> bool:
        """Whether `take` would grant anything."""
        if self._seconds is None or self._min_chunk:
            return self._tokens > 0
        return self._tokens > 0 and self._times.num_tokens_in(self._seconds, position=0) > 0

    def take(self, num_pending: int, position: int) -> int:
        """Grant a prompt that wants `num_pending` tokens, the first at `position`, at least one."""
        granted = min(num_pending, self._tokens)
        if self._seconds is not None:
            in_time = self._times.num_tokens_in(self._seconds, position)
            granted = min(granted, max(in_time, self._min_chunk, 1))
            self._seconds -= self._times.chunk_seconds(granted, position)
        self._tokens -= granted
        self._min_chunk = max(0, self._min_chunk - granted)
        return granted
