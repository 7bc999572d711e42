"""What is made of macOS's words, on machines that have none: its programs are stood in for."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from tercet_engine import macos
from tercet_engine.resources import own_cpus, usable_cpus, usable_memory_bytes
from tercet_server.cli import host

VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10000.
Pages active:                            300000.
Pages inactive:                           20000.
Pages speculative:                         3000.
Pages throttled:                              0.
Pages wired down:                        120000.
Pages purgeable:                           5000.
"Translation faults":                1234567890.
Pages stored in compressor:              400000.
"""
SYSCTL = {
    "machdep.cpu.brand_string": "Apple M2",
    "hw.l2cachesize": "4194304",
    "hw.perflevel0.l2cachesize": "16777216",
}
FREE = 16384 * 33000

Answers = Callable[[Sequence[str]], str]


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], None]:
    """Makes this process believe that it runs on a Mac whose programs answer so."""

    def pretend(answer: Answers) -> None:
        def run(command: Sequence[str], **_options: object) -> SimpleNamespace:
            return SimpleNamespace(stdout=answer(command))

        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.delattr(os, "sched_getaffinity")
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        monkeypatch.setattr(subprocess, "run", run)

    return pretend


def a_mac(command: Sequence[str]) -> str:
    match list(command):
        case ["/usr/bin/vm_stat"]:
            return VM_STAT
        case ["/usr/sbin/sysctl", "-n", name] if name in SYSCTL:
            return f"{SYSCTL[name]}\n"
        case ["/usr/sbin/sysctl", "-n", _]:
            raise subprocess.CalledProcessError(1, command)
    raise AssertionError(command)


def a_silent_mac(command: Sequence[str]) -> str:
    raise FileNotFoundError(command[0])


def test_free_memory_is_what_is_not_in_use(mac: Callable[[Answers], None], tmp_path: Path) -> None:
    mac(a_mac)

    assert usable_memory_bytes(tmp_path) == FREE


def test_without_affinities_all_cpus_count(mac: Callable[[Answers], None], tmp_path: Path) -> None:
    mac(a_mac)

    assert own_cpus() == frozenset(range(8))
    assert usable_cpus(tmp_path) == 8


def test_the_largest_cache_is_that_of_the_fast_cores(mac: Callable[[Answers], None]) -> None:
    mac(a_mac)

    assert macos.cache_bytes() == host.cache_bytes() == 16 << 20


def test_the_cpu_has_its_own_name(
    mac: Callable[[Answers], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mac(a_mac)
    monkeypatch.setattr(host, "_lines", lambda _path: [])

    assert host.cpu_name() == "Apple M2"


def test_a_mac_that_does_not_say_is_served_all_the_same(
    mac: Callable[[Answers], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mac(a_silent_mac)
    monkeypatch.setattr(host, "_lines", lambda _path: [])
    monkeypatch.setattr(platform, "processor", lambda: "arm")

    assert usable_memory_bytes(tmp_path) >= 1 << 60  # no limit is known
    assert host.cpu_name() == "arm"
    assert host.cache_bytes() == 0


@pytest.mark.parametrize("text", ["", "Pages free: 3.", "page size of 4096 bytes"])
def test_words_that_are_not_understood_are_no_number(
    mac: Callable[[Answers], None], text: str
) -> None:
    mac(lambda _command: text)

    assert macos.free_memory_bytes() is None


@pytest.mark.parametrize(("system", "unit"), [("darwin", 1), ("linux", 1024)])
def test_the_peak_is_in_bytes_there_and_in_kib_here(
    monkeypatch: pytest.MonkeyPatch, system: str, unit: int
) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(host, "_lines", lambda _path: [])
    monkeypatch.setattr(resource, "getrusage", lambda _who: SimpleNamespace(ru_maxrss=5000))

    assert host.peak_memory_bytes() == 5000 * unit


def test_programs_are_bounded_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: Sequence[str], *, timeout: float, **_options: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)

    assert macos.cpu_name() == ""
