"""Looks at the machine and at what a container leaves of it. Reads files of the kernel only.

The root of the file system is a parameter, for tests.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tercet_engine.resources import (
    cgroup_versions,
    cpu_quota,
    memory_limit_bytes,
    usable_cpus,
    usable_memory_bytes,
)
from tercet_server.cli.findings import Finding
from tercet_server.cli.units import size

_CPUS: Final = "CPUs"
_MEMORY: Final = "Memory"
_BYTES_OF_2B4T: Final = 1.1e9
_HUGE_PAGES: Final = "sys/kernel/mm/transparent_hugepage/enabled"


def examine_cpus(root: Path, cpus: frozenset[int]) -> Iterator[Finding]:
    """Affinity, quota, cores, nodes, governor and load.

    Args:
        root: of the file system.
        cpus: those that this process may run on.
    """
    quota, threads = cpu_quota(root), usable_cpus(root, len(cpus))
    yield Finding(_CPUS, "affinity", f"{len(cpus)} CPUs: {_ranges(cpus)}", sorted(cpus))
    yield Finding(
        _CPUS,
        "quota",
        "none" if quota is None else f"{quota:g} CPUs",
        quota,
        None
        if quota is None or quota == int(quota) or quota > len(cpus)
        else f"the quota of {quota:g} CPUs pays for {threads} whole threads; make it whole",
    )
    versions = cgroup_versions(root)
    text = " and ".join(f"v{version}" for version in versions) or "none"
    yield Finding(_CPUS, "cgroup", text, list(versions))
    yield Finding(_CPUS, "threads", f"{threads} by default", threads)
    yield from _cores(root, cpus, threads)
    yield _nodes(root, cpus)
    yield from _governor(root, cpus)
    yield from _load(root, threads)


def examine_memory(root: Path) -> Iterator[Finding]:
    """What is left, and how it is handed out."""
    usable, limit = usable_memory_bytes(root), memory_limit_bytes(root)
    yield Finding(
        _MEMORY,
        "usable",
        size(usable),
        usable,
        f"{size(usable)} is left; BitNet 2B4T needs about {size(_BYTES_OF_2B4T)}: end other "
        "processes, or raise the container's limit"
        if usable < _BYTES_OF_2B4T
        else None,
    )
    text = "none" if limit is None else size(limit)
    yield Finding(_MEMORY, "container's limit", text, limit)
    state = re.search(r"\[(\w+)\]", _text(root / _HUGE_PAGES))
    found = state[1] if state else "not known"
    yield Finding(
        _MEMORY,
        "transparent huge pages",
        found,
        found,
        f"huge pages are off: `echo always > /{_HUGE_PAGES}` (as root) spares the CPU look-ups of "
        "addresses while it reads weights"
        if found == "never"
        else None,
    )


def _cores(root: Path, cpus: frozenset[int], threads: int) -> Iterator[Finding]:
    """Two CPUs of one core share its units and caches."""
    folder = root / "sys/devices/system/cpu"
    cores = {
        siblings
        for cpu in cpus
        if (siblings := _text(folder / f"cpu{cpu}/topology/thread_siblings_list").strip())
    }
    if cores:
        yield Finding(
            _CPUS,
            "cores",
            str(len(cores)),
            len(cores),
            f"{threads} threads would share {len(cores)} cores: try `--threads {len(cores)}` too"
            if threads > len(cores)
            else None,
        )


def _nodes(root: Path, cpus: frozenset[int]) -> Finding:
    folder = root / "sys/devices/system/node"
    nodes = {
        int(path.name[4:]): _cpus_of(_text(path / "cpulist")) for path in folder.glob("node[0-9]*")
    }
    used = sorted(node for node, own in nodes.items() if own & cpus)
    return Finding(
        _CPUS,
        "NUMA nodes",
        f"{max(1, len(nodes))}, {max(1, len(used))} of them used",
        used,
        f"threads on {len(used)} NUMA nodes read weights across their link: bind a server to one, "
        f"`numactl --cpunodebind={used[0]} --membind={used[0]} tercet serve`, and run one a node"
        if len(used) > 1
        else None,
    )


def _governor(root: Path, cpus: frozenset[int]) -> Iterator[Finding]:
    folder = root / "sys/devices/system/cpu"
    found = {_text(folder / f"cpu{cpu}/cpufreq/scaling_governor").strip() for cpu in cpus} - {""}
    if found:
        yield Finding(
            _CPUS,
            "frequency governor",
            ", ".join(sorted(found)),
            sorted(found),
            "CPUs save power: `cpupower frequency-set -g performance` (as root)"
            if "powersave" in found
            else None,
        )


def _load(root: Path, threads: int) -> Iterator[Finding]:
    words = _text(root / "proc/loadavg").split()
    if words:
        load = float(words[0])
        yield Finding(
            _CPUS,
            "load",
            f"{load:.2f} in the last minute",
            load,
            f"others use the CPUs (load {load:.1f} for {threads} threads): a step waits for its "
            "slowest thread; end them, or choose fewer with --threads"
            if load > 0.5 * threads
            else None,
        )


def _cpus_of(text: str) -> frozenset[int]:
    """The CPUs of a list as the kernel writes it, "0-3,8"."""
    cpus: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        low, _, high = part.partition("-")
        cpus |= set(range(int(low), int(high or low) + 1))
    return frozenset(cpus)


def _ranges(cpus: frozenset[int]) -> str:
    """The same list, written."""
    parts: list[list[int]] = []
    for cpu in sorted(cpus):
        if parts and cpu == parts[-1][-1] + 1:
            parts[-1].append(cpu)
        else:
            parts.append([cpu])
    return ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
