import pytest

from tercet_engine.stats import DrainRate


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leave(rate: DrainRate, clock: Clock, seconds: float, times: int, amount: int = 1) -> None:
    rate.begin()
    for _ in range(times):
        clock.now += seconds
        rate.left(amount)


def test_the_wait_follows_from_the_rate_of_departures(clock: Clock) -> None:
    rate = DrainRate(clock)
    leave(rate, clock, seconds=2, times=10)

    assert rate.seconds_until(5) == 10


def test_amounts_count_and_not_departures(clock: Clock) -> None:
    rate = DrainRate(clock)
    leave(rate, clock, seconds=2, times=10, amount=100)

    assert rate.seconds_until(500) == 10


def test_only_the_latest_departures_count(clock: Clock) -> None:
    rate = DrainRate(clock, window=4)
    leave(rate, clock, seconds=100, times=10)
    leave(rate, clock, seconds=2, times=4)

    assert rate.seconds_until(5) == 10


def test_a_stalled_engine_is_not_called_fast(clock: Clock) -> None:
    rate = DrainRate(clock)
    leave(rate, clock, seconds=1, times=10)
    clock.now += 10

    assert rate.seconds_until(5) == 10


def test_time_in_which_nobody_waits_does_not_count(clock: Clock) -> None:
    rate = DrainRate(clock)
    leave(rate, clock, seconds=2, times=5)
    rate.pause()
    clock.now += 3600
    leave(rate, clock, seconds=2, times=5)

    assert rate.seconds_until(5) == 10


def test_the_first_departure_is_timed_from_the_first_arrival(clock: Clock) -> None:
    rate = DrainRate(clock)
    assert rate.expected_seconds(10) is None
    leave(rate, clock, seconds=4, times=1, amount=2)

    assert rate.expected_seconds(10) == 20


@pytest.mark.parametrize(("amount", "seconds"), [(1, 1), (10**9, 120)])
def test_the_answer_is_between_one_second_and_two_minutes(
    clock: Clock, amount: int, seconds: float
) -> None:
    rate = DrainRate(clock)
    leave(rate, clock, seconds=0.1, times=5)

    assert rate.seconds_until(amount) == seconds


def test_without_a_rate_the_least_is_answered(clock: Clock) -> None:
    assert DrainRate(clock).seconds_until(1000) == 1


def test_when_nothing_has_left_the_most_is_answered(clock: Clock) -> None:
    rate = DrainRate(clock)
    leave(rate, clock, seconds=1, times=3, amount=0)

    assert rate.seconds_until(1) == 120
