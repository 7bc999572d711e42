"""Matrix products of every kernel set beside the limits of the same run.

    make build/dev/build.ninja && .venv/bin/cmake --build build/dev --target bench_kernels
    python -m benchmarks.kernels --plot kernels.svg

Runs build/dev/bench_kernels, which takes turns between a product, reading memory and multiplying on
registers. One token is bound by memory, many by multiplying: the plot shows both shares, and what
lies between is where neither is the limit alone.
"""

import argparse
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.host import ROOT
from benchmarks.common.plots import COLORS, finish, log_axis, new_figure
from benchmarks.common.script import Result, main, markdown
from tercet_engine.loading import supported_kernels

PROGRAM = ROOT / "build" / "dev" / "bench_kernels"
_LINE = re.compile(
    r"(?P<kernels>\w+) +(?P<packing>\w+) +(?P<matrix>\w+ \d+x\d+) +(?P<threads>\d+)"
    r" +(?P<tokens>\d+) +(?P<gigabytes>[\d.]+) of +(?P<read_limit>[\d.]+) GB/s +\d+ %"
    r" +(?P<gmacs>[\d.]+)(?: of +(?P<gmac_limit>[\d.]+) GMAC/s)?"
)


@dataclass(frozen=True, slots=True)
class Product:
    """One line of the program: a matrix, so many tokens, so many threads; giga-units per second."""

    kernels: str
    packing: str
    matrix: str
    threads: int
    tokens: int
    gigabytes: float
    read_limit: float
    gmacs: float
    gmac_limit: float | None

    @property
    def name(self) -> str:
        """What a line of the plot is called."""
        return f"{self.kernels}, {self.packing}"

    @property
    def share(self) -> float:
        """Of the limit that is nearer."""
        by_memory = self.gigabytes / self.read_limit
        return max(by_memory, self.gmacs / self.gmac_limit) if self.gmac_limit else by_memory


def parse(line: str) -> Product | None:
    """Read a line of the program; None where it is of something else."""
    if not (match := _LINE.match(line)):
        return None
    found = match.groupdict()
    limit = found["gmac_limit"]
    return Product(
        kernels=found["kernels"],
        packing=found["packing"],
        matrix=found["matrix"],
        threads=int(found["threads"]),
        tokens=int(found["tokens"]),
        gigabytes=float(found["gigabytes"]),
        read_limit=float(found["read_limit"]),
        gmacs=float(found["gmacs"]),
        gmac_limit=float(limit) if limit else None,
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kernels", default="", help="one set; unset: all but the reference")
    parser.add_argument("--program", type=Path, default=PROGRAM)


def measure(options: argparse.Namespace) -> Result:
    if not options.program.is_file():
        sys.exit(f"{options.program} is not there; build it with the lines that --help shows")
    kernels = options.kernels or (supported_kernels()[0] if options.short else "")
    command = [str(options.program), *([kernels] if kernels else [])]
    products: list[Product] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("reference"):  # the last set: correct, slow, and no news
                process.terminate()
                break
            if product := parse(line):
                products.append(product)
                print(f"measured: {line.rstrip()}", file=sys.stderr, flush=True)
    return {"products": [asdict(product) for product in products]}


def _products(result: Result) -> list[Product]:
    return [Product(**fields) for fields in result["products"]]


def table(result: Result) -> str:
    products = _products(result)
    threads = max((product.threads for product in products), default=0)
    lines: dict[str, dict[int, Product]] = {}
    for product in products:
        if product.threads == threads:
            lines.setdefault(f"{product.name}, {product.matrix}", {})[product.tokens] = product
    counts = sorted({product.tokens for product in products})
    rows = []
    for name, line in lines.items():
        few, many = line[min(line)], line[max(line)]
        shares = [f"{line[count].share:.0%}" if count in line else "" for count in counts]
        rows.append([name, f"{few.gigabytes:.1f}", f"{many.gmacs:.0f}", *shares])
    header = [f"kernels, packing, matrix; {threads} threads", "GB/s, fewest tokens"]
    return (
        f"{markdown([*header, 'GMAC/s, most tokens', *map(str, counts)], rows)}\n\n"
        "By tokens: the share of the memory's bandwidth or of the multipliers' peak, whichever is "
        "nearer."
    )


def plot(result: Result, path: Path) -> None:
    products = _products(result)
    threads = max(product.threads for product in products)
    largest = max((p.matrix for p in products if p.matrix.startswith("ternary")), key=_num_weights)
    chosen = [p for p in products if p.threads == threads and p.matrix == largest]
    figure, (memory, compute) = new_figure(2)
    for index, name in enumerate(dict.fromkeys(product.name for product in chosen)):
        line = [product for product in chosen if product.name == name]
        tokens = [product.tokens for product in line]
        style: dict[str, Any] = {"marker": "o", "color": COLORS[index % len(COLORS)], "label": name}
        memory.plot(tokens, [100 * p.gigabytes / p.read_limit for p in line], **style)
        if all(product.gmac_limit for product in line):
            shares = [100 * p.gmacs / p.gmac_limit for p in line if p.gmac_limit]
            compute.plot(tokens, shares, **style)
    for axes, what in (
        (memory, "of the memory's bandwidth"),
        (compute, "of the multipliers' peak"),
    ):
        log_axis(axes, sorted({product.tokens for product in chosen}), "tokens")
        axes.set_ylabel(f"% {what}, same run")
        axes.set_ylim(bottom=0)
    memory.set_title(f"{largest}, {threads} threads")
    finish(figure, path)


def _num_weights(matrix: str) -> int:
    rows, cols = matrix.rsplit(" ", maxsplit=1)[-1].split("x")
    return int(rows) * int(cols)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table, plot)
