"""Looks at the soaked server once a second, and writes what it sees line by line."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from benchmarks.soak.process import Process, memory_parts
from benchmarks.soak.sample import Sample
from benchmarks.soak.server import SoakedServer
from benchmarks.soak.tally import Tally
from benchmarks.soak.wire import Connection

_Key = TypeVar("_Key", int, float)
EVERY_SECONDS: Final = 1.0
_PARTS_EVERY: Final = 10
"""Looks; walking through all mappings holds the server up a little."""
_LOOK_SECONDS: Final = 60.0
_SERIES: Final = re.compile(r"^tercet_(\w+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass(slots=True)
class Watch:
    """All that was seen of one server."""

    server: SoakedServer
    tally: Tally
    file: Path
    begun: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    _kept: Connection | None = None

    async def keep_looking(self, told: Callable[[Sample], None]) -> None:
        """Look until cancelled; each sample is told."""
        while True:
            due = time.monotonic() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            told(await self.look(late=max(0.0, time.monotonic() - due)))

    async def look(self, late: float = 0.0) -> Sample:
        """Look once.

        Raises:
            OSError: the server is not there.
        """
        if self._kept is None:
            self._kept = Connection(self.server.port)
        fresh = Connection(self.server.port)
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                health, on_fresh = await _timed_health(self._kept), await _timed_health(fresh)
                text = (await self._kept.ask("GET", "/metrics")).body.decode()
        except BaseException:
            self._kept.leave()
            raise
        finally:
            fresh.leave()
        seen = self._sample(text, health, on_fresh, late)
        self.samples.append(seen)
        with self.file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(seen.as_json()) + "\n")
        return seen

    def _sample(self, text: str, health: float, fresh: float, late: float) -> Sample:
        pid = self.server.pid
        process = Process.of(pid)
        wants_parts = len(self.samples) % _PARTS_EVERY == 0
        series = read_metrics(text)

        def total(name: str) -> float:
            return sum(series.get(name, {}).values())

        return Sample(
            at=time.monotonic() - self.begun,
            rss=process.rss,
            parts=memory_parts(pid) if wants_parts else {},
            threads=process.threads,
            descriptors=process.descriptors,
            sockets=process.sockets,
            cpu=process.cpu,
            store=_size(self.server.store),
            blocks=total("kv_cache_blocks_used"),
            all_blocks=total("kv_cache_blocks"),
            running=total("completions_running"),
            waiting=total("completions_waiting"),
            in_flight=total("http_requests_in_flight"),
            steps=total("steps_total"),
            lags=_by(series.get("event_loop_lag_seconds_bucket", {}), "le", float),
            health=health,
            fresh=fresh,
            own_lag=late,
            kinds=dict(self.tally.kinds),
            statuses=dict(self.tally.statuses),
            told=_by(series.get("http_requests_total", {}), "status", int),
        )


async def _timed_health(connection: Connection) -> float:
    begun = time.perf_counter()
    await connection.ask("GET", "/health")
    return time.perf_counter() - begun


def read_metrics(text: str) -> dict[str, dict[str, float]]:
    """Values by name and labels."""
    found: dict[str, dict[str, float]] = {}
    for name, labels, value in _SERIES.findall(text):
        found.setdefault(name, {})[labels] = float(value)
    return found


def _by(series: Mapping[str, float], label: str, kind: Callable[[str], _Key]) -> dict[_Key, float]:
    """Sums by one label."""
    sums: dict[_Key, float] = {}
    for labels, value in series.items():
        if found := re.search(rf'\b{label}="([^"]*)"', labels):
            key = kind(found[1])
            sums[key] = sums.get(key, 0.0) + value
    return sums


def _size(store: Path) -> int:
    return sum(path.stat().st_size for path in store.parent.glob(f"{store.name}*"))
