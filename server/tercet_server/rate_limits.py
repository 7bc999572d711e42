"""How much each key has asked for of late, held against what it may.

A limit is a bucket that holds a minute's worth and fills by itself. A request takes one from the
first bucket; from the second its tokens are taken when it has ended, for nobody knows before how
many it will have, so a bucket may owe, and its key then waits until it does no more. How far it can
owe is bounded by the requests that a key has in progress.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from tercet_server.errors import RateLimited
from tercet_server.key_file import MAX_KEYS, ApiKey

_MINUTE: Final = 60.0
_BUSY_SECONDS: Final = 1.0
_MAX_METERS: Final = 2 * MAX_KEYS


class Bucket:
    """So much a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._level = float(per_minute)
        self._seen = clock()

    @property
    def level(self) -> float:
        """What may still be taken; under 0: what is owed."""
        now = self._clock()
        gained = (now - self._seen) * self.per_minute / _MINUTE
        self._level, self._seen = min(self.per_minute, self._level + gained), now
        return self._level

    def take(self, amount: float) -> None:
        """Take so much, also what is not there."""
        self._level = self.level - amount

    def seconds_until(self, level: float) -> float:
        """When it will be as full as that, if nobody takes anything."""
        return max(0.0, (level - self.level) * _MINUTE / self.per_minute)

    def headers(self, name: str) -> dict[str, str]:
        """What OpenAI's clients are told of it."""
        return {
            f"x-ratelimit-limit-{name}": str(self.per_minute),
            f"x-ratelimit-remaining-{name}": str(max(0, int(self.level))),
            f"x-ratelimit-reset-{name}": duration(self.seconds_until(self.per_minute)),
        }


class Meter:
    """What one key has asked for."""

    def __init__(self, key: ApiKey, clock: Callable[[], float]) -> None:
        self.key = key
        self._requests = _bucket(key.requests_per_minute, clock)
        self._tokens = _bucket(key.tokens_per_minute, clock)
        self._num_in_progress = 0

    def begin(self) -> None:
        """A request begins.

        Raises:
            RateLimited: it may not, yet.
        """
        key = self.key
        if key.concurrency is not None and self._num_in_progress >= key.concurrency:
            message = f"the key {key.name} may have {key.concurrency} requests in progress at once"
            raise RateLimited(message, _BUSY_SECONDS)
        if self._requests and self._requests.level < 1:
            message = f"the key {key.name} may make {self._requests.per_minute} requests a minute"
            raise RateLimited(message, self._requests.seconds_until(1))
        if self._tokens and self._tokens.level < 1:
            message = f"the key {key.name} may use {self._tokens.per_minute} tokens a minute"
            raise RateLimited(message, self._tokens.seconds_until(1))
        self._num_in_progress += 1
        if self._requests:
            self._requests.take(1)

    def end(self) -> None:
        """A request that has begun is answered."""
        self._num_in_progress -= 1

    def charge(self, num_tokens: int) -> None:
        """A request has used so many tokens."""
        if self._tokens:
            self._tokens.take(num_tokens)

    def headers(self) -> Mapping[str, str]:
        """What clients are told of their limits."""
        headers: dict[str, str] = {}
        if self._requests:
            headers |= self._requests.headers("requests")
        if self._tokens:
            headers |= self._tokens.headers("tokens")
        return headers


class Meters:
    """One for each key that has a name; of names that were dropped, some are still remembered.

    A key whose limits were changed begins anew; who is in progress still counts for the old one.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._meters: dict[str, Meter] = {}

    def of(self, key: ApiKey) -> Meter:
        """The meter of a key."""
        name = key.name or ""
        meter = self._meters.get(name)
        if meter is None or _limits(meter.key) != _limits(key):
            if name not in self._meters and len(self._meters) >= _MAX_METERS:
                del self._meters[next(iter(self._meters))]
            meter = self._meters[name] = Meter(key, self._clock)
        return meter


def duration(seconds: float) -> str:
    """A time as OpenAI writes it: "6m0s", "7.66s", "120ms", "0s"."""
    milliseconds = round(seconds * 1000)
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _bucket(per_minute: int | None, clock: Callable[[], float]) -> Bucket | None:
    return None if per_minute is None else Bucket(per_minute, clock)


def _limits(key: ApiKey) -> tuple[int | None, ...]:
    return (key.requests_per_minute, key.tokens_per_minute, key.concurrency)
