from typing import Any

import pytest

from tercet_server.errors import RateLimited
from tercet_server.key_file import MAX_KEYS, ApiKey
from tercet_server.rate_limits import Bucket, Meter, Meters, duration


def test_a_bucket_is_full_at_first_and_fills_by_itself(clock: Any) -> None:
    bucket = Bucket(60, clock)
    bucket.take(60)
    assert bucket.level == 0
    clock.pass_by(10)
    assert bucket.level == 10
    clock.pass_by(3600)
    assert bucket.level == 60


def test_what_was_overdrawn_is_paid_back_first(clock: Any) -> None:
    bucket = Bucket(60, clock)
    bucket.take(100)
    assert bucket.seconds_until(1) == 41
    assert bucket.headers("tokens") == {
        "x-ratelimit-limit-tokens": "60",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m40s",
    }


def test_requests_come_at_the_rate_that_is_allowed(clock: Any) -> None:
    meter = Meter(ApiKey("web", (), requests_per_minute=2), clock)
    meter.begin()
    meter.begin()
    with pytest.raises(RateLimited, match="the key web may make 2 requests a minute") as refused:
        meter.begin()
    assert refused.value.retry_after_seconds == 30
    clock.pass_by(refused.value.retry_after_seconds)
    meter.begin()


def test_tokens_are_counted_when_they_are_known(clock: Any) -> None:
    meter = Meter(ApiKey("web", (), tokens_per_minute=600), clock)
    meter.begin()
    meter.charge(700)
    with pytest.raises(RateLimited, match="may use 600 tokens a minute") as refused:
        meter.begin()
    assert refused.value.retry_after_seconds == pytest.approx(10.1)
    clock.pass_by(10.2)
    meter.begin()


def test_a_place_is_free_again_when_its_request_has_ended(clock: Any) -> None:
    meter = Meter(ApiKey("web", (), concurrency=1, requests_per_minute=100), clock)
    meter.begin()
    with pytest.raises(RateLimited, match="1 requests in progress at once"):
        meter.begin()
    meter.end()
    meter.begin()
    assert meter.headers()["x-ratelimit-remaining-requests"] == "98"  # the refusal cost nothing


def test_a_key_keeps_its_meter_until_its_limits_change(clock: Any) -> None:
    meters = Meters(clock)
    first = meters.of(ApiKey("web", (b"1",), requests_per_minute=1))
    assert meters.of(ApiKey("web", (b"2",), requests_per_minute=1, priority=3)) is first
    assert meters.of(ApiKey("web", (b"2",), requests_per_minute=2)) is not first


def test_names_that_come_and_go_do_not_pile_up(clock: Any) -> None:
    meters = Meters(clock)
    for index in range(3 * MAX_KEYS):
        meters.of(ApiKey(f"name{index}", ()))
    assert len(meters._meters) == 2 * MAX_KEYS


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.12, "120ms"),
        (1, "1s"),
        (7.66, "7.66s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (3661.5, "1h1m1.5s"),
    ],
)
def test_times_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
