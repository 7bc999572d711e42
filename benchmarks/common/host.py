"""What has to be known of a host before its figures are believed: CPU, clock, and who else ran.

A virtual machine's neighbours take time that nobody here sees; the kernel counts it as stolen.
"""

import os
import re
import statistics
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from tercet_server.cli.host import cpu_name

ROOT: Final = Path(__file__).parents[2]
_IDLE, _WAITING, _STOLEN = 3, 4, 7


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """Ticks of all CPUs since they were started: all of them, idle ones, stolen ones."""

    total: int
    idle: int
    stolen: int

    @classmethod
    def of(cls, line: str) -> Self:
        """Read the first line of /proc/stat; the guests' ticks are in the users' already."""
        ticks = [int(word) for word in line.split()[1:9]]
        return cls(sum(ticks), ticks[_IDLE] + ticks[_WAITING], ticks[_STOLEN])

    @classmethod
    def now(cls) -> Self | None:
        """None where the kernel does not tell."""
        try:
            with Path("/proc/stat").open(encoding="ascii") as file:
                return cls.of(file.readline())
        except OSError:
            return None

    def shares_until(self, later: Self) -> tuple[float, float]:
        """The shares of all CPUs' time that were used here, and that were stolen."""
        total = max(1, later.total - self.total)
        stolen = later.stolen - self.stolen
        return (total - (later.idle - self.idle) - stolen) / total, stolen / total


class HostWatch:
    """Watches the host from when it is made until it is asked."""

    def __init__(self) -> None:
        self._start = CpuTimes.now()
        self._clocks = [clock] if (clock := clock_ghz()) else []

    def facts(self) -> dict[str, Any]:
        """The host, and what happened on it meanwhile."""
        end = CpuTimes.now()
        used, stolen = self._start.shares_until(end) if self._start and end else (None, None)
        if clock := clock_ghz():
            self._clocks.append(clock)
        return {
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "cpu": cpu_name(),
            "cpus": len(os.sched_getaffinity(0)),
            "clock_ghz": statistics.mean(self._clocks) if self._clocks else None,
            "used_share": used,
            "stolen_share": stolen,
            "commit": commit(),
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of a process now, and at most: `file` is mapped from files and can be given back."""

    peak: int
    anonymous: int
    file: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Read /proc/PID/status."""
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        found = {key: int(value) * 1024 for key, value in re.findall(r"(\w+):\s+(\d+) kB", text)}
        return cls(found["VmHWM"], found["RssAnon"], found["RssFile"])

    def as_json(self) -> dict[str, int]:
        """Every number by its name."""
        return asdict(self)


def clock_ghz() -> float | None:
    """Mean clock of the CPUs as the kernel knows it; None where it does not tell."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", text, re.MULTILINE)]
    return statistics.mean(found) / 1000 if found else None


def commit() -> str:
    """The version that is measured, with a + where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=8"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
