"""The arithmetic of the benchmarks; what is timed is not tested."""

import argparse
import itertools
import math

import pytest
from benchmarks.arrivals import _summary
from benchmarks.common.arithmetic import Percentiles, percentile, poisson_arrivals, powers_of_two
from benchmarks.common.client import Answer
from benchmarks.common.host import CpuTimes
from benchmarks.kernels import parse
from benchmarks.report import file_name


def test_a_percentile_between_two_values_lies_between_them_in_proportion() -> None:
    assert percentile([30.0, 10.0, 20.0], 0.5) == 20.0
    assert percentile([10.0, 20.0], 0.9) == pytest.approx(19.0)
    assert percentile([7.0], 0.99) == 7.0
    assert percentile(list(range(101)), 0.99) == 99.0


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
    assert Percentiles.of([]).count == 0


def test_the_same_seed_gives_the_same_arrivals_and_another_seed_gives_others() -> None:
    assert list(poisson_arrivals(2, 30, seed=1)) == list(poisson_arrivals(2, 30, seed=1))
    assert list(poisson_arrivals(2, 30, seed=1)) != list(poisson_arrivals(2, 30, seed=2))


def test_arrivals_are_in_order_within_the_time_and_as_many_as_the_rate_says() -> None:
    times = list(poisson_arrivals(5, 2000, seed=3))

    assert times == sorted(times)
    assert times[0] > 0
    assert times[-1] < 2000
    # The number is Poisson of mean 10,000: five standard deviations are 500.
    assert abs(len(times) - 10_000) < 500


def test_gaps_between_arrivals_spread_as_widely_as_their_mean() -> None:
    times = list(poisson_arrivals(5, 2000, seed=3))
    gaps = [after - before for before, after in itertools.pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / len(gaps))

    assert deviation == pytest.approx(mean, rel=0.05)  # an even spacing would have 0


def test_powers_of_two_end_with_the_limit_itself() -> None:
    assert powers_of_two(1, 8) == [1, 2, 4, 8]
    assert powers_of_two(16, 100) == [16, 32, 64, 100]


def test_goodput_counts_whole_answers_within_both_limits() -> None:
    limits = argparse.Namespace(max_first_seconds=1.0, max_between_seconds=0.1)
    quick = Answer(200, asked=0.0, pieces=[0.5, 0.6, 0.7], num_tokens=3)
    late = Answer(200, asked=0.0, pieces=[1.5, 1.6, 1.7], num_tokens=3)
    slow = Answer(200, asked=0.0, pieces=[0.5, 0.9, 1.3], num_tokens=3)
    broken = Answer(200, asked=0.0, pieces=[0.5], num_tokens=0)
    refused = Answer(429, asked=0.0)

    run = _summary(1.0, [quick, late, slow, broken, refused], 10.0, limits)

    assert run["goodput"] == pytest.approx(1 / 10)
    assert run["tokens_per_second"] == pytest.approx(9 / 10)
    assert (run["requests"], run["refused"], run["failed"]) == (5, 1, 0)
    assert run["first_token_seconds"]["p50"] == pytest.approx(0.5)


def test_a_request_is_timed_from_when_it_was_due() -> None:
    answer = Answer(200, asked=10.0, pieces=[12.0, 12.5, 13.5], num_tokens=3)

    assert answer.first_token_seconds == 2.0
    assert answer.between_seconds == [0.5, 1.0]
    assert answer.total_seconds == 3.5


def test_stolen_time_is_not_counted_as_used() -> None:
    #                            user nice system idle iowait irq softirq steal guest guest_nice
    before = CpuTimes.of("cpu  100   0    50     800  50     0   0       0     0     0")
    after = CpuTimes.of("cpu   140   0    60     830  60     0   0       10    0     0")

    assert before.shares_until(after) == (pytest.approx(0.5), pytest.approx(0.1))


def test_a_line_of_bench_kernels_is_read() -> None:
    line = (
        "avx512_vnni  2bit     ternary 13824x2560    2   512     0.25 of  82.84 GB/s    1 %"
        "    1015.6 of 1035.4 GMAC/s   98 %"
    )

    product = parse(line)

    assert product is not None
    assert (product.name, product.matrix) == ("avx512_vnni, 2bit", "ternary 13824x2560")
    assert (product.threads, product.tokens) == (2, 512)
    assert product.share == pytest.approx(1015.6 / 1035.4)


def test_lines_of_other_things_are_passed_over() -> None:
    assert (
        parse("avx2         rms_norm 6912                              1.23 us      5.61 G/s")
        is None
    )
    assert parse("kernels      packing  matrix               thr tokens") is None


def test_a_cpu_without_a_multiplier_peak_is_judged_by_its_memory() -> None:
    line = "avx2  2bit  ternary 2560x2560  1  1  20.00 of 40.00 GB/s  50 %  166.5"

    product = parse(line)

    assert product is not None
    assert product.gmac_limit is None
    assert product.share == pytest.approx(0.5)


def test_a_page_is_named_by_date_and_cpu() -> None:
    name = file_name("Intel(R) Xeon(R) Platinum 8488C CPU @ 2.40GHz")

    assert name.endswith("-intel-xeon-platinum-8488c")
