"""What every script does alike: `--short`, `--json`, `--plot`, a progress bar, and its tables."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.common.host import HostWatch
from tercet_engine import ProgressListener
from tercet_server.cli.progress import showing_progress

Result = dict[str, Any]
T = TypeVar("T")


class Benchmark(Protocol):
    """A module of this folder that `report` can run."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Its own flags."""

    def measure(self, options: argparse.Namespace) -> Result:
        """Run it; plain values that JSON can hold."""

    def table(self, result: Result) -> str:
        """The figures in Markdown."""

    def plot(self, result: Result, path: Path) -> None:
        """The figures as an image."""


def main(
    doc: str,
    add_options: Callable[[argparse.ArgumentParser], None],
    measure: Callable[[argparse.Namespace], Result],
    table: Callable[[Result], str],
    plot: Callable[[Result, Path], None],
) -> None:
    """Run one benchmark from the command line."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer points and repetitions")
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw, e.g. figures.svg")
    add_options(parser)
    options = parser.parse_args()
    watch = HostWatch()
    result = measure(options)
    result["host"] = watch.facts()
    print(json.dumps(result, indent=1) if options.json else table(result))
    if options.plot:
        plot(result, options.plot)


def progress(
    items: Iterable[T], label: Callable[[T], str], total: int | None = None
) -> Iterator[T]:
    """Walk through items behind a bar on stderr, which says what is measured now."""
    if total is None:
        total = len(items := list(items))
    columns = (
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    shown = sys.stderr.isatty()
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bar:
        task = bar.add_task("", total=total)
        said = ""
        for item in items:
            bar.update(task, description=label(item))
            if not shown and label(item) != said:
                said = label(item)
                print(said, file=sys.stderr, flush=True)
            yield item
            bar.advance(task)


def progress_of_loading() -> AbstractContextManager[ProgressListener]:
    """A bar on stderr while a model is loaded, where somebody looks."""
    return showing_progress(quiet=not sys.stderr.isatty())


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
