"""Decides how many guesses are computed in a step, so that they save time and never cost it.

On a memory-bound machine a few more tokens add little to a step; where many streams already keep
the processor busy they add as much as they could save. Which it is follows from the measured times
of steps, and how often guesses are right from the text itself.
"""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as List
from typing import Final

from tercet_engine.drafter import Drafter
from tercet_engine.pace import Load, StepTimes
from tercet_engine.sequence import Sequence

_MAX_WORTH: Final = 0.85
"""Where a token added to a batch costs more than this share of those in it, nothing is guessed."""
_LOOK_SECONDS: Final = 5e-6
"""What it takes to look for guesses for one sequence, about,"""
_MAX_LOOK_SHARE: Final = 0.015
"""and the share of a step that it may take. Where steps are very short, one that found no guess is
followed by some that look for none."""


class Gain:
    """What a batch yields per second, which guesses must better to be taken in.

    Args:
        num_useful: tokens that the batch computes for certain.
        seconds: what it is predicted to take.
    """

    def __init__(self, num_useful: float, seconds: float) -> None:
        self._num_useful = num_useful
        self._seconds = seconds

    def is_worth_trying(self, cost: float) -> bool:
        """Whether guesses that cost so much could save more than it takes to look for them."""
        return cost * self._num_useful <= _MAX_WORTH * self._seconds

    def count(self, chances: Iterable[float], cost: float) -> int:
        """Take in guesses, each of which adds `cost` seconds, as long as each raises the yield."""
        count = 0
        for chance in chances:
            if chance * self._seconds <= cost * self._num_useful:
                break
            self._num_useful += chance
            self._seconds += cost
            count += 1
        return count


class Speculator:
    """Chooses guesses for the streams of a step.

    Args:
        times: predicts what a step takes. Until it is measured nothing is guessed.
    """

    def __init__(self, times: StepTimes) -> None:
        self._times = times
        self._num_steps = 0
        self._next_look = 0

    def choose(
        self, streams: List[Sequence], load: Load, num_rows: int
    ) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield the indices of streams for which guesses pay, with the guesses.

        Args:
            streams: sequences that get one token in this step.
            load: all that the step computes without guesses.
            num_rows: guesses at most.
        """
        self._num_steps += 1
        is_possible = streams and num_rows > 0 and self._times.is_measured
        if not is_possible or self._num_steps < self._next_look:
            return
        seconds = self._times.seconds(load)
        look_seconds = len(streams) * _LOOK_SECONDS
        self._next_look = self._num_steps + 1 + int(look_seconds / (_MAX_LOOK_SHARE * seconds))
        gain = Gain(load.num_tokens, seconds)
        if not gain.is_worth_trying(self._times.output_seconds(load.num_keys // load.num_tokens)):
            return
        for index, seq in enumerate(streams):
            if not seq.may_speculate:
                continue
            if (drafter := seq.drafter) is None:
                drafter = seq.drafter = Drafter(seq.tokens)
            drafter.follow()
            chances = drafter.chances(min(num_rows, seq.num_tokens_left - 1))
            cost = self._times.output_seconds(len(seq.tokens))
            if num_guesses := gain.count(chances, cost):
                num_rows -= num_guesses
                self._next_look = 0
                yield index, drafter.draft(num_guesses)
