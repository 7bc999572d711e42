"""Run the benchmarks and write what they found: a dated page with its plots beside it.

    python -m benchmarks.report                  # short versions, some minutes
    python -m benchmarks.report --full forward memory

Each runs in a process of its own, so that no peak of memory is another's. The page says which host
it was, its clock, and the share of its time that neighbours stole: what the figures can be trusted
for. It goes to benchmarks/results/DATE-CPU.md.
"""

import argparse
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks import arrivals, forward, kernels, memory, overhead, speculation
from benchmarks.common.host import ROOT, HostWatch
from benchmarks.common.script import Benchmark, Result

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "kernels": kernels,
    "forward": forward,
    "overhead": overhead,
    "arrivals": arrivals,
    "speculation": speculation,
    "memory": memory,
}
RESULTS: Final = ROOT / "benchmarks" / "results"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(BENCHMARKS)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which; unset: all of {names}")
    parser.add_argument("--full", action="store_true", help="not the short versions")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder to write to")
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"{', '.join(sorted(unknown))}: choose of {names}")
    watch = HostWatch()
    found = {
        name: result
        for name in options.names or BENCHMARKS
        if (result := run(name, ["--json", *([] if options.full else ["--short"])]))
    }
    facts = watch.facts()
    page = options.results / f"{file_name(facts['cpu'])}.md"
    options.results.mkdir(parents=True, exist_ok=True)
    page.write_text(text_of(facts, found, page), encoding="utf-8")
    print(page)
    return 0 if len(found) == len(options.names or BENCHMARKS) else 1


def run(name: str, arguments: list[str]) -> Result | None:
    """The result of one benchmark, or None: it says on stderr why there is none."""
    print(f"== {name}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, cwd=ROOT)
    if done.returncode:
        print(f"{name} has ended with status {done.returncode}", file=sys.stderr, flush=True)
        return None
    result: Result = json.loads(done.stdout)
    return result


def text_of(facts: dict[str, Any], found: dict[str, Result], page: Path) -> str:
    """The page; draws the plots on the way."""
    parts = [f"# {facts['cpu']}, {facts['date'][:10]}", f"Whole run: {conditions(facts)}."]
    for name, result in found.items():
        benchmark = BENCHMARKS[name]
        image = page.with_name(f"{page.stem}-{name}.svg")
        benchmark.plot(result, image)
        parts += [
            f"## {name}",
            benchmark.table(result),
            f"![{name}]({image.name})",
            f"`python -m benchmarks.{name}`; {conditions(result['host'])}.",
        ]
    return "\n\n".join(parts) + "\n"


def conditions(facts: dict[str, Any]) -> str:
    """What the host was like meanwhile, in a line."""
    parts = [facts["date"], f"commit {facts['commit']}", f"{facts['cpus']} CPUs"]
    if facts["clock_ghz"]:
        parts.append(f"{facts['clock_ghz']:.2f} GHz")
    if facts["stolen_share"] is not None:
        parts.append(f"{facts['used_share']:.0%} used, {facts['stolen_share']:.1%} stolen")
    return ", ".join(parts)


def file_name(cpu: str) -> str:
    """DATE-CPU, in letters that every file system takes."""
    words = re.sub(r"\(R\)|\(TM\)|CPU|Processor|@.*", "", cpu)
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    return f"{datetime.now(UTC):%Y-%m-%d}-{slug}"


if __name__ == "__main__":
    sys.exit(main())
