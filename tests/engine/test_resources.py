import os
from pathlib import Path

import pytest

from tercet_engine.resources import (
    cgroup_versions,
    cpu_quota,
    memory_limit_bytes,
    usable_cpus,
    usable_memory_bytes,
)

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


@pytest.mark.parametrize(("outer", "inner"), [(3, 5), (5, 3)])
def test_of_nested_groups_the_least_memory_counts(root: Path, outer: int, inner: int) -> None:
    in_cgroup_v2(root, "/pod/server")
    for folder, limit in (("pod", outer), ("pod/server", inner)):
        write(root, f"sys/fs/cgroup/{folder}/memory.max", str(limit * GIB))
        write(root, f"sys/fs/cgroup/{folder}/memory.current", str(GIB))

    assert usable_memory_bytes(root) == 2 * GIB
    assert memory_limit_bytes(root) == 3 * GIB


def test_a_limit_that_slows_is_kept_like_one_that_kills(root: Path) -> None:
    in_cgroup_v2(root)
    write(root, "sys/fs/cgroup/memory.max", str(8 * GIB))
    write(root, "sys/fs/cgroup/memory.high", str(2 * GIB))
    write(root, "sys/fs/cgroup/memory.current", str(GIB))

    assert usable_memory_bytes(root) == GIB


def test_a_limit_of_groups_that_cannot_be_seen_is_kept(root: Path) -> None:
    write(root, "proc/self/cgroup", "3:memory:/box\n")
    write(root, "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    write(root, "sys/fs/cgroup/memory/memory.usage_in_bytes", str(GIB))
    write(root, "sys/fs/cgroup/memory/memory.stat", f"hierarchical_memory_limit {3 * GIB}\n")

    assert usable_memory_bytes(root) == 2 * GIB


def test_of_nested_quotas_of_cgroup_v1_the_least_counts(root: Path) -> None:
    write(root, "proc/self/cgroup", "4:cpu,cpuacct:/pod/box\n")
    for folder, quota in (("pod", 150_000), ("pod/box", 400_000)):
        write(root, f"sys/fs/cgroup/cpu/{folder}/cpu.cfs_quota_us", str(quota))
        write(root, f"sys/fs/cgroup/cpu/{folder}/cpu.cfs_period_us", "100000")

    assert cpu_quota(root) == 1.5
    assert usable_cpus(root, affinity=8) == 1


def test_groups_are_found_where_they_are_mounted(root: Path) -> None:
    in_cgroup_v2(root, "/a b")
    mount = "30 24 0:27 / /run/my\\040groups rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
    write(root, "proc/self/mountinfo", mount)
    write(root, "run/my groups/a b/cpu.max", "200000 100000")

    assert usable_cpus(root, affinity=8) == 2


def test_mounts_whose_names_are_no_utf8_are_passed_over(root: Path) -> None:
    in_cgroup_v2(root, "/box")
    (root / "proc/self/mountinfo").write_bytes(
        b"40 30 8:1 / /mnt/caf\xe9 rw - ext4 /dev/sda rw\n"
        b"41 30 0:26 / /cgroups/caf\xe9 rw - cgroup2 cgroup2 rw\n"
    )
    folder = Path(os.fsdecode(os.fsencode(root) + b"/cgroups/caf\xe9/box"))
    folder.mkdir(parents=True)
    (folder / "cpu.max").write_text("300000 100000")

    assert usable_cpus(root, affinity=8) == 3


def test_both_versions_side_by_side_count(root: Path) -> None:
    write(root, "proc/self/cgroup", "4:cpu,cpuacct:/box\n0::/unit\n")
    mounts = (
        "30 24 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw",
        "31 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    )
    write(root, "proc/self/mountinfo", "\n".join(mounts))
    write(root, "sys/fs/cgroup/unified/unit/memory.max", str(3 * GIB))
    write(root, "sys/fs/cgroup/unified/unit/memory.current", str(GIB))
    write(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "300000")
    write(root, "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000")

    assert cgroup_versions(root) == (1, 2)
    assert usable_cpus(root, affinity=8) == 3
    assert usable_memory_bytes(root) == 2 * GIB


def test_a_mount_that_shows_a_group_as_its_root_is_read_from_there(root: Path) -> None:
    write(root, "proc/self/cgroup", "4:cpu:/docker/abc/inner\n")
    mount = "31 24 0:28 /docker/abc /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
    write(root, "proc/self/mountinfo", mount)
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "400000")
    write(root, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    write(root, "sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "200000")
    write(root, "sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "100000")

    assert usable_cpus(root, affinity=8) == 2


@pytest.mark.parametrize("text", ["", "max", "a b", "100000 0", "1 2 3"])
def test_a_quota_that_cannot_be_read_is_none(root: Path, text: str) -> None:
    in_cgroup_v2(root, "/../above")
    write(root, "sys/fs/cgroup/cpu.max", text)

    assert cpu_quota(root) is None
    assert usable_cpus(root, affinity=4) == 4


def test_without_cgroups_there_are_no_limits(root: Path) -> None:
    assert cgroup_versions(root) == ()
    assert cpu_quota(root) is None
    assert memory_limit_bytes(root) is None


def test_this_machine_has_something() -> None:
    assert usable_cpus() >= 1
    assert usable_memory_bytes() > 0
