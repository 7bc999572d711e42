import pytest
from benchmarks.overload import Asked, Load, Sample, drain_seconds, hint_ratios

# Two a second are served, and eight wait all the time.
STEADY = [Sample(at=float(at), num_waiting=8, num_started=2 * at) for at in range(20)]


def test_the_time_of_a_line_is_until_those_in_it_were_served() -> None:
    assert drain_seconds(STEADY, at=3) == 4


def test_between_two_looks_time_passes_evenly() -> None:
    samples = [Sample(0, 3, 0), Sample(1, 3, 2), Sample(2, 3, 4)]
    assert drain_seconds(samples, at=0) == 1.5


@pytest.mark.parametrize("at", [17, 100])
def test_a_line_that_was_not_seen_to_its_end_tells_nothing(at: float) -> None:
    assert drain_seconds(STEADY, at) is None


def test_an_empty_line_tells_nothing() -> None:
    assert drain_seconds([Sample(0, 0, 0), Sample(1, 0, 5)], at=0) is None


def test_a_hint_is_compared_with_the_true_time() -> None:
    load = Load(begun=0.0, ended=20.0)
    load.asked = [
        Asked(due=3, status=429, answered=3, retry_after=2),
        Asked(due=3, status=200, answered=3),
        Asked(due=3, status=429, answered=30, retry_after=2),
    ]
    load.samples = STEADY
    assert hint_ratios(load) == [0.5]


def test_goodput_counts_whole_answers_while_requests_came() -> None:
    load = Load(begun=10.0, ended=20.0)
    load.asked = [Asked(due=0, done=done) for done in (0.0, 9.0, 11.0, 19.0, 21.0)]
    assert load.goodput == 0.2
