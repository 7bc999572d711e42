from pathlib import Path

import pytest

from tercet_engine.resources import usable_cpus, usable_memory_bytes

GIB = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A file system in which a test writes what the kernel would show."""
    write(
        tmp_path,
        "proc/meminfo",
        f"MemTotal: {32 * GIB // 1024} kB\nMemAvailable: {20 * GIB // 1024} kB\n",
    )
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def in_cgroup_v2(root: Path, path: str = "/") -> None:
    write(root, "proc/self/cgroup", f"0::{path}\n")


def test_without_limits_the_affinity_counts(root: Path) -> None:
    assert usable_cpus(root, affinity=6) == 6


@pytest.mark.parametrize(
    ("quota", "cpus"),
    [("max 100000", 8), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1)],
)
def test_a_quota_of_cgroup_v2_is_kept(root: Path, quota: str, cpus: int) -> None:
    in_cgroup_v2(root)
    write(root, "sys/fs/cgroup/cpu.max", quota)

    assert usable_cpus(root, affinity=8) == cpus


def test_the_affinity_counts_where_it_is_less_than_the_quota(root: Path) -> None:
    in_cgroup_v2(root)
    write(root, "sys/fs/cgroup/cpu.max", "400000 100000")

    assert usable_cpus(root, affinity=2) == 2


def test_the_quota_of_a_group_above_is_kept_too(root: Path) -> None:
    in_cgroup_v2(root, "/pod/server")
    write(root, "sys/fs/cgroup/pod/server/cpu.max", "max 100000")
    write(root, "sys/fs/cgroup/pod/cpu.max", "300000 100000")

    assert usable_cpus(root, affinity=8) == 3


@pytest.mark.parametrize(("quota", "cpus"), [("-1", 8), ("200000", 2)])
def test_a_quota_of_cgroup_v1_is_kept(root: Path, quota: str, cpus: int) -> None:
    write(root, "proc/self/cgroup", "4:cpu,cpuacct:/box\n3:memory:/box\n")
    write(root, "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", quota)
    write(root, "sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000")

    assert usable_cpus(root, affinity=8) == cpus


def test_without_limits_the_available_memory_counts(root: Path) -> None:
    assert usable_memory_bytes(root) == 20 * GIB


def test_a_limit_of_cgroup_v2_leaves_what_is_not_used_or_only_cached(root: Path) -> None:
    in_cgroup_v2(root)
    write(root, "sys/fs/cgroup/memory.max", str(4 * GIB))
    write(root, "sys/fs/cgroup/memory.current", str(3 * GIB))
    write(root, "sys/fs/cgroup/memory.stat", f"anon 5\ninactive_file {GIB}\n")

    assert usable_memory_bytes(root) == 2 * GIB


def test_no_limit_of_cgroup_v2_is_none(root: Path) -> None:
    in_cgroup_v2(root)
    write(root, "sys/fs/cgroup/memory.max", "max\n")
    write(root, "sys/fs/cgroup/memory.current", "5")

    assert usable_memory_bytes(root) == 20 * GIB


@pytest.mark.parametrize(("limit", "usable"), [(2 * GIB, GIB), (9223372036854771712, 20 * GIB)])
def test_a_limit_of_cgroup_v1_is_kept(root: Path, limit: int, usable: int) -> None:
    write(root, "proc/self/cgroup", "3:memory:/not/visible/in/the/container\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", str(limit))
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", str(GIB))

    assert usable_memory_bytes(root) == usable


def test_a_group_over_its_limit_leaves_nothing(root: Path) -> None:
    in_cgroup_v2(root)
    write(root, "sys/fs/cgroup/memory.max", "5")
    write(root, "sys/fs/cgroup/memory.current", "9")

    assert usable_memory_bytes(root) == 0


def test_this_machine_has_something() -> None:
    assert usable_cpus() >= 1
    assert usable_memory_bytes() > 0
