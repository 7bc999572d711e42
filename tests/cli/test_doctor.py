"""What `tercet doctor` looks at, on hosts made of files, and what it says of this one."""

import json
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tercet_server.cli.findings import Examination, Finding, Verdict
from tercet_server.cli.host_checks import examine_cpus, examine_memory
from tercet_server.cli.server_checks import (
    examine_address,
    examine_disk,
    examine_files,
    examine_kernels,
)
from tests.cli.conftest import Outcome

Tercet = Callable[..., Outcome]
GIB = 1 << 30


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A quiet host of two nodes with four cores each and huge pages."""
    write(tmp_path, "proc/meminfo", f"MemAvailable: {20 * GIB // 1024} kB\n")
    write(tmp_path, "proc/loadavg", "0.01 0.02 0.03 1/100 1\n")
    write(tmp_path, "proc/self/cgroup", "0::/\n")
    write(tmp_path, "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    write(tmp_path, "sys/devices/system/node/node0/cpulist", "0-3\n")
    write(tmp_path, "sys/devices/system/node/node1/cpulist", "4-7\n")
    for cpu in range(8):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        write(tmp_path, f"{folder}/topology/thread_siblings_list", f"{cpu}\n")
        write(tmp_path, f"{folder}/cpufreq/scaling_governor", "performance\n")
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def by_name(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_nothing_is_to_change_on_a_good_host(root: Path) -> None:
    findings = by_name((*examine_cpus(root, frozenset({0, 1, 2, 3})), *examine_memory(root)))

    assert [finding.advice for finding in findings.values() if finding.advice] == []
    assert findings["affinity"].text == "4 CPUs: 0-3"
    assert findings["threads"].data == findings["cores"].data == 4
    assert findings["cgroup"].text == "v2"
    assert findings["NUMA nodes"].text == "2, 1 of them used"
    assert findings["transparent huge pages"].data == "madvise"
    assert findings["usable"].data == 20 * GIB
    assert findings["container's limit"].text == "none"


@pytest.mark.parametrize(
    ("name", "text", "finding", "words"),
    [
        ("sys/fs/cgroup/cpu.max", "250000 100000", "quota", "quota of 2.5 CPUs pays for 2 whole"),
        ("proc/loadavg", "6.5 1 1", "load", r"others use the CPUs \(load 6.5 for 4 threads\)"),
        (
            "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor",
            "powersave",
            "frequency governor",
            "cpupower frequency-set -g performance",
        ),
        (
            "sys/devices/system/cpu/cpu1/topology/thread_siblings_list",
            "0",
            "cores",
            "4 threads would share 3 cores: try `--threads 3`",
        ),
        (
            "sys/devices/system/node/node1/cpulist",
            "2-3",
            "NUMA nodes",
            "numactl --cpunodebind=0 --membind=0",
        ),
        (
            "sys/kernel/mm/transparent_hugepage/enabled",
            "always madvise [never]",
            "transparent huge pages",
            "huge pages are off",
        ),
        ("proc/meminfo", "MemAvailable: 900000 kB", "usable", "922 MB is left; BitNet 2B4T needs"),
    ],
)
def test_what_could_be_better_is_named_with_its_remedy(
    root: Path, name: str, text: str, finding: str, words: str
) -> None:
    write(root, name, text)
    findings = by_name((*examine_cpus(root, frozenset({0, 1, 2, 3})), *examine_memory(root)))

    assert findings[finding].verdict is Verdict.ADVICE
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(findings[finding].advice)
    assert sum(found.verdict is Verdict.ADVICE for found in findings.values()) == 1


def test_a_host_that_tells_nothing_is_looked_at_all_the_same(tmp_path: Path) -> None:
    findings = by_name(
        (*examine_cpus(tmp_path, frozenset({0, 2, 3, 7})), *examine_memory(tmp_path))
    )
    assert findings["affinity"].text == "4 CPUs: 0,2-3,7"
    assert findings["cgroup"].text == "none"


def test_kernels_that_fail_are_passed_over() -> None:
    findings = by_name(examine_kernels(lambda: {"amx": "dot differs", "avx2": None}))

    assert findings["amx"].text == "fails its self-test: dot differs"
    assert "serve with `--kernels avx2`" in (findings["amx"].advice or "")
    assert findings["amx"].verdict is Verdict.ADVICE
    assert findings["avx2"].text == "passes its self-test, is chosen"


def test_no_kernels_at_all_are_a_failure() -> None:
    findings = by_name(examine_kernels(lambda: {"reference": "Dot differs"}))
    assert findings["reference"].verdict is Verdict.FAILURE


def test_a_port_in_use_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (finding,) = examine_address("127.0.0.1", port)
    assert finding.verdict is Verdict.FAILURE
    assert f"127.0.0.1:{port} is in use" in (finding.advice or "")
    (finding,) = examine_address("127.0.0.1", port)
    assert finding.verdict is Verdict.OK


def test_few_open_files_and_a_cache_to_come_are_told(tmp_path: Path) -> None:
    (finding,) = examine_files(256)
    assert "only 256 files may be open" in (finding.advice or "")
    (finding,) = examine_disk(tmp_path / "not" / "there" / "yet")
    assert finding.data["free_bytes"] > 0


def test_failures_are_told_first() -> None:
    found = Examination(
        (
            Finding("a", "b", "c", advice="second"),
            Finding("a", "b", "c", advice="first", is_failure=True),
        )
    )
    assert found.advice == ["first", "second"]
    assert found.has_failed


def test_this_host_is_told_as_a_table_and_as_json(tercet: Tercet) -> None:
    table = tercet("doctor", "--no-bandwidth", "--port", "0")
    machine = tercet("doctor", "--no-bandwidth", "--port", "0", "--json")
    found = json.loads(machine.out)

    assert table.exit_code == machine.exit_code == 0
    assert found["ok"] is True
    names = {finding["name"] for finding in found["findings"]}
    assert {"affinity", "quota", "usable", "transparent huge pages", "address"} <= names
    assert sum("is chosen" in finding["text"] for finding in found["findings"]) == 1
    for finding in found["findings"]:
        assert finding["name"] in table.out
    assert table.err == ""


def test_a_port_in_use_ends_it_with_a_failure(tercet: Tercet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        outcome = tercet("doctor", "--no-bandwidth", "--port", port)
    assert outcome.exit_code == 1
    assert "is in use" in outcome.out


def test_the_bandwidth_is_measured(tercet: Tercet) -> None:
    outcome = tercet("doctor", "--port", "0", "--json")
    rates = [f["value"] for f in json.loads(outcome.out)["findings"] if f["name"] == "bandwidth"]
    assert rates[0] > 1e8
