"""What this process may use of the machine: CPUs and memory, containers' limits included.

A container sees all of its host's cores and memory, yet may use a share; taking the whole makes a
thread pool many times slower, and gets a process killed. So the limits of cgroup v2 and v1 are read
beside the affinity and the free memory. The root of the file system is a parameter, for tests.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_NO_LIMIT = 1 << 60  # cgroup v1 spells "none" as a number close to 2**63


def usable_cpus(root: Path = Path("/"), affinity: int | None = None) -> int:
    """CPUs that this process can keep busy: of its affinity, as many as the quota pays for."""
    if affinity is None:
        affinity = len(os.sched_getaffinity(0))
    return max(1, min([affinity, *(int(quota) for quota in _cpu_quotas(root))]))


def usable_memory_bytes(root: Path = Path("/")) -> int:
    """Bytes that can still be allocated without swapping or being killed.

    Caches that the kernel would give up are counted as free.
    """
    return max(0, min([_free_memory(root), *_cgroup_memory(root)]))


def _cpu_quotas(root: Path) -> Iterator[float]:
    for folder in _cgroup_folders(root, ""):
        match _words(folder / "cpu.max"):
            case [quota, period] if quota != "max":
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
    return _NO_LIMIT


def _cgroup_memory(root: Path) -> Iterator[int]:
    for folder in _cgroup_folders(root, ""):
        limit = _number(folder / "memory.max")
        used = _number(folder / "memory.current")
        if limit is not None and used is not None:
            yield limit - used + _stat(folder, "inactive_file")
    for folder in _cgroup_folders(root, "memory"):
        limit = _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None and limit < _NO_LIMIT:
            yield limit - used + _stat(folder, "total_inactive_file")


def _cgroup_folders(root: Path, controller: str) -> Iterable[Path]:
    """The folders of this process's cgroup and of those above it, up to the mount point.

    In a container the path that /proc names may not be visible; the mount point always is.
    """
    mount = root / "sys/fs/cgroup" / controller
    path = next(
        (
            path
            for _, controllers, path in (
                line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines()
            )
            if (controller in controllers.split(",") if controller else not controllers)
        ),
        "/",
    )
    folder = mount / path.lstrip("/")
    return [folder, *(parent for parent in folder.parents if parent.is_relative_to(mount))]


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
    try:
        return path.read_text()
    except OSError:
        return ""
