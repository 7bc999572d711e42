"""Who is let into the line, and when the others are told to come back."""

from typing import Any

import pytest

from tercet_engine import EngineConfig, EngineOverloaded, SamplingParams, WaitedTooLong
from tercet_engine.sequence import Sequence
from tercet_engine.waiting_line import WaitingLine


def sequence(num_tokens: int = 10) -> Sequence:
    return Sequence(0, [1] * num_tokens, SamplingParams(), 1)


def line_of(clock: Any, max_sequences: int = 64, **fields: Any) -> WaitingLine:
    return WaitingLine(EngineConfig(max_sequences=max_sequences, **fields), clock)


def serve(line: WaitingLine, clock: Any, seconds: float, times: int) -> None:
    """One after the other, ten tokens each."""
    for _ in range(times):
        seq = sequence()
        line.enter(seq)
        clock.pass_by(seconds)
        line.start(seq)
        line.leave(seq, has_started=True)


def enter(line: WaitingLine, count: int) -> None:
    for _ in range(count):
        line.check([sequence()])
        line.enter(sequence())


def test_a_wait_that_would_be_too_long_is_refused_at_the_door(clock: Any) -> None:
    line = line_of(clock, max_queue_seconds=10)
    serve(line, clock, seconds=1, times=20)
    with pytest.raises(WaitedTooLong, match="may wait 10 s for its turn") as caught:
        enter(line, 20)

    assert line.num_tokens == 60
    assert caught.value.retry_after_seconds == pytest.approx(6, rel=0.2)
    assert line.refusals == {"requests": 0, "tokens": 0, "queue_time": 1}


def test_whoever_is_patient_is_let_in(clock: Any) -> None:
    line = line_of(clock, max_queue_seconds=10)
    serve(line, clock, seconds=1, times=20)
    for _ in range(20):
        line.check([sequence()], is_patient=True)
        line.enter(sequence())
    assert line.num_tokens == 200


def test_a_request_may_always_wait_alone(clock: Any) -> None:
    line = line_of(clock, max_queue_seconds=1, max_waiting_tokens=100)
    serve(line, clock, seconds=100, times=20)
    line.check([sequence(1000)])


def test_without_a_limit_nobody_is_refused_for_the_time(clock: Any) -> None:
    line = line_of(clock)
    serve(line, clock, seconds=100, times=20)
    enter(line, 20)


def test_before_anything_was_measured_the_line_may_grow(clock: Any) -> None:
    enter(line_of(clock, max_queue_seconds=1), 20)


def test_a_night_without_work_does_not_shut_the_door(clock: Any) -> None:
    line = line_of(clock, max_queue_seconds=10)
    serve(line, clock, seconds=0.1, times=20)
    clock.pass_by(8 * 3600)
    enter(line, 20)


def test_slow_places_do_not_make_free_ones_look_slow(clock: Any) -> None:
    """Those who waited for answers to end tell nothing of a server that has room again."""
    line = line_of(clock, max_sequences=1, max_queue_seconds=10)
    running = sequence()
    line.enter(running)
    line.start(running)
    for _ in range(20):  # one after the other gets the only place
        waiting = sequence()
        line.enter(waiting)
        clock.pass_by(30)
        line.leave(running, has_started=True)
        line.start(waiting)
        running = waiting
    line.leave(running, has_started=True)

    enter(line, 1)
    line.check_smallest()


def test_a_full_line_of_places_is_timed_by_the_ends_of_answers(clock: Any) -> None:
    line = line_of(clock, max_sequences=1, max_waiting_requests=1)
    running = sequence()
    line.enter(running)
    line.start(running)
    for _ in range(20):
        waiting = sequence()
        line.enter(waiting)
        clock.pass_by(3)
        line.leave(running, has_started=True)
        line.start(waiting)
        running = waiting
        clock.pass_by(1000)  # nobody waits: this says nothing of the pace
    line.enter(sequence())
    with pytest.raises(EngineOverloaded) as caught:
        line.check_smallest()
    assert caught.value.retry_after_seconds == pytest.approx(3, rel=0.1)


def test_those_who_leave_unserved_make_room(clock: Any) -> None:
    line = line_of(clock, max_waiting_tokens=100)
    enter(line, 10)
    with pytest.raises(EngineOverloaded, match="at most 100 prompt tokens"):
        enter(line, 1)
    line.leave(sequence(), has_started=False)
    enter(line, 1)
    assert line.refusals["tokens"] == 1
