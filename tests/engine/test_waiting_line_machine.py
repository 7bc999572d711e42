"""The line's books, whoever comes, begins and leaves in whatever order."""

from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tercet_engine import (
    EngineConfig,
    EngineOverloaded,
    SamplingParams,
    TooManyChoices,
    WaitedTooLong,
)
from tercet_engine.sequence import Sequence
from tercet_engine.stats import MAX_RETRY_SECONDS, MIN_RETRY_SECONDS
from tercet_engine.waiting_line import WaitingLine


class Line(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.num_refused = 0
        self.waits: list[float] = []

    @initialize(
        max_sequences=st.integers(1, 3),
        max_waiting_requests=st.integers(0, 4),
        max_waiting_tokens=st.integers(1, 60),
        max_queue_seconds=st.sampled_from([None, 1.0, 80_000.0]),
    )
    def begin(self, **fields: int) -> None:
        self.config = EngineConfig(max_batch_tokens=8, **fields)
        self.line = WaitingLine(self.config, lambda: self.seconds)

    @rule(seconds=st.floats(0, 100))
    def pass_by(self, seconds: float) -> None:
        self.seconds += seconds

    @rule(
        lengths=st.lists(st.integers(1, 40), min_size=1, max_size=4),
        is_patient=st.booleans(),
    )
    def come(self, lengths: list[int], is_patient: bool) -> None:
        sequences = [Sequence(0, [1] * length, SamplingParams(), 1) for length in lengths]
        if self.is_let_in(lambda: self.line.check(sequences, is_patient=is_patient), lengths):
            for seq in sequences:
                self.line.enter(seq)
            self.waiting += sequences

    @rule()
    def look(self) -> None:
        self.is_let_in(self.line.check_smallest, [1])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        seq = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.line.start(seq)
        self.running.append(seq)

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        everyone = self.waiting + self.running
        seq = everyone[data.draw(st.integers(0, len(everyone) - 1))]
        has_started = seq in self.running
        (self.running if has_started else self.waiting).remove(seq)
        self.line.leave(seq, has_started=has_started)

    def is_let_in(self, check: Callable[[], None], lengths: list[int]) -> bool:
        """Ask, and compare what is said with what the limits say."""
        config, num_waiting_tokens = self.config, self.num_waiting_tokens
        max_places = config.max_sequences + config.max_waiting_requests
        num_open = len(self.waiting) + len(self.running)
        is_full = num_open + len(lengths) > max_places
        is_long = num_waiting_tokens + sum(lengths) > config.max_waiting_tokens
        try:
            check()
        except TooManyChoices:
            assert len(lengths) > max_places
            return False
        except EngineOverloaded as error:
            self.num_refused += 1
            is_slow = isinstance(error, WaitedTooLong)
            assert is_full or num_waiting_tokens, "sent away from an empty line"
            assert is_slow or is_full or is_long
            assert not is_slow or not (is_full or (is_long and num_waiting_tokens))
            self.waits.append(error.retry_after_seconds)
            return False
        assert not is_full
        assert not (is_long and num_waiting_tokens), "only who waits alone may be too long"
        return True

    @property
    def num_waiting_tokens(self) -> int:
        return sum(seq.num_prompt_tokens for seq in self.waiting)

    @invariant()
    def the_books_are_right(self) -> None:
        if hasattr(self, "line"):
            assert self.line.num_tokens == self.num_waiting_tokens
            assert sum(self.line.refusals.values()) == self.num_refused
        assert all(MIN_RETRY_SECONDS <= wait <= MAX_RETRY_SECONDS for wait in self.waits)


Line.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLine = Line.TestCase
