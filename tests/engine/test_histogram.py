import pytest

from tercet_engine.histogram import (
    POWERS_OF_TWO,
    SECONDS_OF_A_TOKEN,
    SECONDS_OF_A_WAIT,
    SECONDS_OF_AN_ANSWER,
    Histogram,
)


def test_a_value_falls_into_the_first_bucket_that_holds_it() -> None:
    histogram = Histogram((1.0, 2.0, 5.0))
    for value in (0.5, 1.0, 1.1, 5.0, 5.1, 100.0):
        histogram.observe(value)

    counts = histogram.counts()
    assert counts.bounds == (1.0, 2.0, 5.0)
    assert counts.counts == (2, 1, 1, 2)
    assert counts.total == pytest.approx(112.7)


def test_a_look_does_not_change_any_more() -> None:
    histogram = Histogram((1.0,))
    counts = histogram.counts()
    histogram.observe(0.5)
    assert counts.counts == (0, 0)


@pytest.mark.parametrize(
    "bounds", [POWERS_OF_TWO, SECONDS_OF_A_TOKEN, SECONDS_OF_A_WAIT, SECONDS_OF_AN_ANSWER]
)
def test_bounds_ascend_and_are_few(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
    assert len(bounds) <= 20
    Histogram(bounds)
