"""However a client times its requests, it gets what its key allows, and no more."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tercet_server.errors import RateLimited
from tercet_server.key_file import ApiKey
from tercet_server.rate_limits import Bucket, Meter
from tests.conftest import FakeClock

PAUSES = st.lists(st.floats(0, 90), min_size=1, max_size=60)


@given(PAUSES, st.integers(1, 40))
def test_in_no_span_of_time_more_requests_begin_than_its_bucket_gives(
    pauses: list[float], per_minute: int
) -> None:
    clock = FakeClock()
    meter = Meter(ApiKey("web", (), requests_per_minute=per_minute), clock)
    begun: list[float] = []
    waits: list[float] = []
    for pause in pauses:
        clock.pass_by(pause)
        for _ in range(3):
            try:
                meter.begin()
            except RateLimited as refused:
                waits.append(refused.retry_after_seconds or 0.0)
            else:
                begun.append(clock())
                meter.end()
    assert all(0 < wait <= 60 / per_minute + 1e-6 for wait in waits)
    for first, start in enumerate(begun):
        for last in range(first, len(begun)):
            allowed = per_minute + (begun[last] - start) * per_minute / 60
            assert last - first + 1 <= allowed + 1e-6


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 500)), min_size=1, max_size=40),
    st.integers(1, 1000),
)
def test_who_comes_back_when_told_is_let_in(
    requests: list[tuple[float, int]], per_minute: int
) -> None:
    clock = FakeClock()
    meter = Meter(ApiKey("web", (), tokens_per_minute=per_minute), clock)
    for pause, num_tokens in requests:
        clock.pass_by(pause)
        try:
            meter.begin()
        except RateLimited as refused:
            clock.pass_by((refused.retry_after_seconds or 0.0) + 1e-6)
            meter.begin()
        meter.charge(num_tokens)
        meter.end()


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4))
def test_places_are_as_many_as_there_are(comings: list[bool], concurrency: int) -> None:
    meter = Meter(ApiKey("web", (), concurrency=concurrency), FakeClock())
    num_in_progress = 0
    for comes in comings:
        if not comes:
            if num_in_progress:
                meter.end()
                num_in_progress -= 1
            continue
        try:
            meter.begin()
        except RateLimited:
            assert num_in_progress == concurrency
        else:
            num_in_progress += 1
            assert num_in_progress <= concurrency


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 200)), max_size=40))
def test_a_bucket_holds_what_came_in_less_what_was_taken(events: list[Any]) -> None:
    clock, level = FakeClock(), 60.0
    bucket = Bucket(60, clock)
    for pause, amount in events:
        clock.pass_by(pause)
        level = min(60.0, level + pause) - amount
        bucket.take(amount)
        assert abs(bucket.level - level) < 1e-6
        assert abs(bucket.seconds_until(60) - (60 - level)) < 1e-6
