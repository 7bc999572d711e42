"""What this process may use of the machine: CPUs and memory, containers' limits included.

A container sees all of its host's cores and memory, yet may use a share; taking the whole makes a
thread pool many times slower, and gets a process killed. So the limits of cgroup v2 and v1 are read
beside the affinity and the free memory. The root of the file system is a parameter, for tests.
macOS has neither affinities nor such limits: there all CPUs count, and what `macos.py` is told.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tercet_engine import macos

_NO_LIMIT: Final = 1 << 60  # cgroup v1 spells "none" as a number close to 2**63
_USUAL_MOUNT: Final = "sys/fs/cgroup"


def own_cpus() -> frozenset[int]:
    """The CPUs that this process may run on: all of them where there are no affinities."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def usable_cpus(root: Path = Path("/"), affinity: int | None = None) -> int:
    """CPUs that this process can keep busy: of its affinity, as many as the quota pays for."""
    if affinity is None:
        affinity = len(own_cpus())
    return max(1, min([affinity, *(int(quota) for quota in _cpu_quotas(root))]))


def usable_memory_bytes(root: Path = Path("/")) -> int:
    """Bytes that can still be allocated without swapping or being killed.

    Caches that the kernel would give up are counted as free.
    """
    return max(
        0, min([_free_memory(root), *(limit - used for limit, used in _cgroup_memory(root))])
    )


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs that the containers' quotas pay for, the least of all that hold; None: no quota."""
    return min(_cpu_quotas(root), default=None)


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The least limit of memory that holds for this process's cgroups; None: there is none."""
    return min((limit for limit, _ in _cgroup_memory(root)), default=None)


def cgroup_versions(root: Path = Path("/")) -> tuple[int, ...]:
    """Which hierarchies of cgroups this process is in: (2,), (1,), both, or none."""
    found = {1 if controllers else 2 for controllers, _ in _memberships(root)}
    return tuple(sorted(found))


def _cpu_quotas(root: Path) -> Iterator[float]:
    for folder in _cgroup_folders(root, ""):
        match _words(folder / "cpu.max"):
            case [quota, period] if quota.isdigit() and period.isdigit() and int(period):
                yield int(quota) / int(period)
    for folder in _cgroup_folders(root, "cpu"):
        quota_us = _number(folder / "cpu.cfs_quota_us")
        period_us = _number(folder / "cpu.cfs_period_us")
        if quota_us and period_us and quota_us > 0:
            yield quota_us / period_us


def _free_memory(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        match line.split():
            case ["MemAvailable:", kib, "kB"]:
                return int(kib) * 1024
    told = macos.free_memory_bytes() if sys.platform == "darwin" else None
    return _NO_LIMIT if told is None else told


def _cgroup_memory(root: Path) -> Iterator[tuple[int, int]]:
    """Each limit with what is used of it: beyond one a process is killed, or slowed to a crawl."""
    for folder in _cgroup_folders(root, ""):
        used = _number(folder / "memory.current")
        for name in ("memory.max", "memory.high"):
            limit = _number(folder / name)
            if limit is not None and used is not None:
                yield limit, used - _stat(folder, "inactive_file")
    for folder in _cgroup_folders(root, "memory"):
        used = _number(folder / "memory.usage_in_bytes")
        # The second is the least of the groups above too, where these cannot be seen.
        hierarchical = _stat(folder, "hierarchical_memory_limit") or None
        for limit in (_number(folder / "memory.limit_in_bytes"), hierarchical):
            if limit is not None and used is not None and limit < _NO_LIMIT:
                yield limit, used - _stat(folder, "total_inactive_file")


def _cgroup_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's cgroup and of those above it, up to the mount point.

    In a container the path that /proc names may not be visible; the mount point always is. There
    the mount may show a group further down as its root: its path is no part of what is seen.
    """
    paths = [
        path
        for controllers, path in _memberships(root)
        if (controller in controllers if controller else not controllers)
    ]
    path = paths[0] if paths else "/"
    for mount, top in _mounts(root, controller):
        seen = path.removeprefix(top) if top != "/" and _is_within(path, top) else path
        parts = [part for part in seen.split("/") if part not in {"", ".", ".."}]
        for length in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:length])


def _memberships(root: Path) -> Iterator[tuple[frozenset[str], str]]:
    """Controllers and path of each cgroup of this process; those of version 2 name none."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        match line.split(":", 2):
            case [_, controllers, path]:
                yield frozenset(controllers.split(",")) - {""}, path


def _mounts(root: Path, controller: str) -> list[tuple[Path, str]]:
    """Where a controller's groups are mounted, and which group is the root there.

    As the kernel tells it; else where it usually is.
    """
    found = []
    for line in _text(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        match before.split(), after.split():
            case [_, _, _, top, point, *_], ["cgroup2", *_] if not controller:
                found.append((root / _unescaped(point).lstrip("/"), top))
            case [_, _, _, top, point, *_], ["cgroup", _, options] if controller:
                if controller in options.split(","):
                    found.append((root / _unescaped(point).lstrip("/"), top))
    return found or [(root / _USUAL_MOUNT / controller, "/")]


def _unescaped(path: str) -> str:
    """A path of mountinfo, in which blanks are octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _is_within(path: str, top: str) -> bool:
    return path == top or path.startswith(f"{top}/")


def _stat(folder: Path, key: str) -> int:
    for line in _text(folder / "memory.stat").splitlines():
        match line.split():
            case [name, number] if name == key:
                return int(number)
    return 0


def _number(path: Path) -> int | None:
    """The number in a file; None if there is no file or no limit in it."""
    match _words(path):
        case [word] if word.lstrip("-").isdigit():
            return int(word)
    return None


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:  # paths in /proc are bytes, and need not be UTF-8
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
