"""The slope tells a leak from what comes and goes."""

import itertools
import math
import random

import pytest
from benchmarks.soak.slope import robust_slope


def test_a_line_has_its_own_slope_and_no_doubt() -> None:
    times = [float(at) for at in range(600)]

    slope = robust_slope(times, [100 + 3 * at for at in times])

    assert slope is not None
    assert slope.value == pytest.approx(3)
    assert slope.low == pytest.approx(3)
    assert slope.high == pytest.approx(3)


def test_what_does_not_change_has_no_slope() -> None:
    slope = robust_slope([float(at) for at in range(600)], [7.0] * 600)

    assert slope is not None
    assert (slope.value, slope.low, slope.high) == (0, 0, 0)


def test_single_bursts_do_not_move_it() -> None:
    times = [float(at) for at in range(1200)]
    values = [1000.0 if 900 < at < 1000 and at % 3 == 0 else 0.01 * at for at in times]

    slope = robust_slope(times, values)

    assert slope is not None
    assert slope.value == pytest.approx(0.01, rel=0.01)


def test_noise_is_within_the_interval_nearly_always() -> None:
    draw = random.Random(3)
    times = [float(at) for at in range(800)]
    slopes = [robust_slope(times, [draw.gauss(0, 1) for _ in times]) for _ in range(50)]

    assert sum(slope is not None and slope.low <= 0 <= slope.high for slope in slopes) >= 44


def test_memory_that_wanders_and_comes_back_is_no_trend() -> None:
    draw = random.Random(4)
    times = [float(at) for at in range(1800)]
    outside = 0
    for _ in range(40):
        steps = itertools.accumulate(times, lambda at, _: 0.99 * at + draw.gauss(0, 1), initial=0.0)
        slope = robust_slope(times, list(steps)[1:])
        outside += slope is None or not slope.low <= 0 <= slope.high

    assert outside <= 4


def test_a_wave_is_no_trend() -> None:
    times = [float(at) for at in range(1800)]

    slope = robust_slope(times, [math.sin(at / 90) for at in times])

    assert slope is not None
    assert slope.low <= 0 <= slope.high


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_few_values_tell_nothing(count: int) -> None:
    assert robust_slope([float(at) for at in range(count)], [1.0] * count) is None
