"""Every CPU in QEMU: the set of kernels it gets, all tests of C++ and the model, and equal answers.

    python -m tests.emulated.run                             # the x86 ones
    python -m tests.emulated.run Nehalem --only cpp,answers
    python -m tests.emulated.run cortex-a53 cortex-a76 max \
        --python "qemu-aarch64 -cpu {cpu} -L ROOT ROOT/usr/bin/python3"

QEMU refuses instructions that a CPU does not have, so one that leaked into another set's program is
found here. It needs qemu-user (`apt install qemu-user`) and patience: `model` takes a quarter of an
hour to an hour a CPU, and more where `--repeats 1` asks for all random cases of its slow tests;
`--shard 1/4` runs the first quarter of it. Every process has a bound, `--hours`, and none is left
behind. The C++ tests are those of the presets `dev` and `arm64`. ROOT is a file system of ARM with
Python, this project built and what its tests need; without it only the C++ tests are run there.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulated.answers import golden

ROOT = Path(__file__).parents[2]
PARTS = ("cpp", "answers", "model")
TESTS = {
    "qemu-x86_64": "build/dev/tests/tercet_tests",
    "qemu-aarch64": "build/arm64/tests/tercet_tests",
}
# Where Debian's cross compilers have the C library of ARM.
ARM_LIBRARIES = {"QEMU_LD_PREFIX": "/usr/aarch64-linux-gnu"}
OLD_NUMPY = "numpy<2.3"


@dataclass(frozen=True, slots=True)
class Cpu:
    """A CPU of QEMU's and the kernel set that it must get.

    Attributes:
        lacks_v2: newer wheels of numpy do not run on it.
    """

    name: str
    emulator: str
    kernels: str
    lacks_v2: bool = False


CPUS = (
    Cpu("qemu64", "qemu-x86_64", "reference", lacks_v2=True),
    Cpu("Nehalem", "qemu-x86_64", "sse41"),
    Cpu("SandyBridge", "qemu-x86_64", "sse41"),
    Cpu("Haswell", "qemu-x86_64", "avx2"),
    Cpu("cortex-a53", "qemu-aarch64", "neon"),
    Cpu("cortex-a76", "qemu-aarch64", "neon_dotprod"),
    Cpu("max", "qemu-aarch64", "neon_i8mm"),
)


@dataclass(slots=True)
class Result:
    """What one CPU came to; empty where it was not asked for."""

    cpu: Cpu
    cells: dict[str, str] = field(default_factory=lambda: dict.fromkeys(("kernels", *PARTS), ""))
    faults: list[str] = field(default_factory=list)


class Processes:
    """Runs programs with a bound, and ends all that still run when it is left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: set[subprocess.Popen[str]] = set()
        self._is_over = False
        self._lock = threading.Lock()

    def run(self, cpu: Cpu, command: list[str], env: Mapping[str, str]) -> tuple[int, str]:
        """Run a program, saying what it prints; return its status and that."""
        with self._lock:
            if self._is_over:
                return -signal.SIGTERM, ""
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # so that its own children end with it
            )
            self._running.add(process)
        bound = threading.Timer(self._seconds, end, [process])
        bound.start()
        lines = []
        with process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if "TCG doesn't support" in line:  # what no program here asks a CPU for
                        continue
                    say(f"{cpu.name}: {line.rstrip()}")
                    lines.append(line)
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            finally:
                bound.cancel()
                bound.join()
                with self._lock:  # its number is its own until it is waited for
                    self._running.discard(process)
                    end(process)
        return process.returncode, "".join(lines)

    def close(self) -> None:
        with self._lock:
            self._is_over = True
            for process in self._running:
                end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """End a program and its children, if there still are any."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main() -> int:
    options = parse()
    chosen = [cpu for cpu in CPUS if cpu.name in options.cpus]
    processes = Processes(options.hours * 3600)
    with contextlib.closing(processes), ThreadPoolExecutor(options.jobs) as pool:
        try:
            results = list(pool.map(lambda cpu: check(cpu, options, processes), chosen))
        except BaseException:
            processes.close()
            raise
    say("\n".join(table(results)))
    return 1 if any(result.faults for result in results) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = [cpu.name for cpu in CPUS]
    x86 = [cpu.name for cpu in CPUS if cpu.emulator == "qemu-x86_64"]
    parser.add_argument("cpus", nargs="*", default=x86, metavar="CPU", help=f"of {known}")
    parser.add_argument("--only", default=",".join(PARTS), help="which of cpp,answers,model")
    parser.add_argument("--python", help="how Python is run on a CPU; {cpu} is its name")
    parser.add_argument("--shard", default="1/1", help="the part of the model's tests")
    parser.add_argument("--repeats", default="0.05", help="the share of a slow test's random cases")
    parser.add_argument("--hours", type=float, default=12, help="no program runs for longer")
    parser.add_argument("--jobs", type=int, default=1, help="CPUs at a time")
    options = parser.parse_args()
    if unknown := set(options.cpus) - set(known):
        parser.error(f"there is no CPU {sorted(unknown)}; known: {known}")
    if unknown := set(options.only.split(",")) - set(PARTS):
        parser.error(f"there is no part {sorted(unknown)}; there are: {PARTS}")
    return options


def check(cpu: Cpu, options: argparse.Namespace, processes: Processes) -> Result:
    """Run what was asked for on one CPU."""
    result = Result(cpu)
    emulated = [cpu.emulator, "-cpu", cpu.name]
    python = [*emulated, sys.executable]
    if options.python:
        python = shlex.split(options.python.format(cpu=cpu.name))
    env = {"TERCET_SHARD": options.shard, "TERCET_REPEATS": options.repeats}
    if cpu.lacks_v2 and options.only != "cpp":
        env["PYTHONPATH"] = str(old_numpy())
    for part in PARTS:
        if part not in options.only.split(","):
            continue
        if part != "cpp" and cpu.emulator == "qemu-aarch64" and not options.python:
            result.cells[part] = "no Python given"
            continue
        began = time.monotonic()
        if part == "cpp":
            command = [*emulated, str(ROOT / TESTS[cpu.emulator])]
            libraries = ARM_LIBRARIES if cpu.emulator == "qemu-aarch64" else {}
            fault = judge_cpp(result, *processes.run(cpu, command, libraries))
        elif part == "answers":
            command = [*python, "-m", "tests.emulated.answers"]
            fault = judge_answers(result, *processes.run(cpu, command, env))
        else:
            plugins = ["-p", "tests.emulated.patience", "-p", "no:cacheprovider"]
            command = [*python, "-m", "pytest", "-q", *plugins, "tests/model"]
            fault = judge_model(result, *processes.run(cpu, command, env))
        if fault:
            result.faults.append(f"{part}: {fault}")
            say(f"{cpu.name}: FAULT: {part}: {fault}")
        result.cells[part] += f", {time.monotonic() - began:.0f} s"
    return result


def judge_cpp(result: Result, status: int, output: str) -> str | None:
    found = re.search(r"(\d+) passed, (\d+) failed .*sets (\w+)", output)
    if not found:
        result.cells["cpp"] = "no result"
        return f"ended with status {status}: {output[-300:]}"
    passed, failed, kernels = found.groups()
    result.cells["cpp"] = f"{passed} passed"
    result.cells["kernels"] = kernels
    if status or failed != "0":
        result.cells["cpp"] += f", {failed} failed"
        return f"{failed} failed, status {status}"
    if kernels != result.cpu.kernels:
        return f"{kernels} was chosen and not {result.cpu.kernels}"
    return None


def judge_answers(result: Result, status: int, output: str) -> str | None:
    try:
        digests = json.loads(output[output.index("{") :])
    except ValueError:
        result.cells["answers"] = "no result"
        return f"ended with status {status}: {output[-300:]}"
    wanted = golden()
    differing = [name for name in wanted if digests.get(name) != wanted[name]]
    result.cells["answers"] = f"{len(wanted) - len(differing)} of {len(wanted)} equal"
    return f"others are: {differing}" if differing else None


def judge_model(result: Result, status: int, output: str) -> str | None:
    lines = [line for line in output.splitlines() if re.search(r"\d+ (passed|failed)", line)]
    result.cells["model"] = re.sub(r" in .*", "", lines[-1].strip("= ")) if lines else "no result"
    return f"ended with status {status}: {output[-300:]}" if status else None


def old_numpy() -> Path:
    """A folder with a numpy for CPUs of the first x86-64, which is to be found before the newer."""
    folder = ROOT / "build" / "emulated" / "numpy"
    if not (folder / "numpy").exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        subprocess.run([*command, OLD_NUMPY], check=True)
    return folder


def table(results: list[Result]) -> Iterator[str]:
    """The results as a table in Markdown, and what was wrong."""
    heads = ("CPU", "kernels", "C++ tests", "answers", "the model's tests")
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for result in results:
        yield f"| {' | '.join((result.cpu.name, *result.cells.values()))} |"
    for result in results:
        for fault in result.faults:
            yield f"{result.cpu.name}: {fault}"


if __name__ == "__main__":
    sys.exit(main())
