"""`tercet doctor`: what this host is like to a server, and what to change."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from tercet_engine.resources import own_cpus, usable_cpus
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import FAILURE
from tercet_server.cli.findings import Examination, Verdict
from tercet_server.cli.host_checks import examine_cpus, examine_memory
from tercet_server.cli.server_checks import (
    examine_address,
    examine_bandwidth,
    examine_disk,
    examine_files,
    examine_kernels,
    examine_versions,
)
from tercet_server.cli.values import whole

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet doctor", "a table, and what to change"),
    ("tercet doctor --json", "for machines"),
    ("tercet doctor --host 0.0.0.0 --port 9000", "another address than the usual one"),
)
_MARKS: Final = {
    Verdict.OK: "[green]✓[/]",
    Verdict.ADVICE: "[yellow]![/]",
    Verdict.FAILURE: "[red]✗[/]",
}


@app.command(epilog=EPILOG)
def doctor(
    *,
    host: Annotated[
        str,
        typer.Option(
            envvar="TERCET_HOST", help="Address that a server would listen on.", metavar="ADDRESS"
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            parser=whole(0, 65535), envvar="TERCET_PORT", help="Its port.", metavar="PORT"
        ),
    ] = 8000,
    bandwidth: Annotated[
        bool,
        typer.Option(
            envvar="TERCET_DOCTOR_BANDWIDTH",
            help="Measure how fast memory is read; takes 1 GB for a second or two.",
        ),
    ] = True,
    as_json: Annotated[
        bool,
        typer.Option("--json", envvar="TERCET_DOCTOR_JSON", help="Print JSON and nothing else."),
    ] = False,
) -> None:
    """Look at this host as a server would, and say what to change.

    Ends with status 1 if a server would not start, or could not be trusted.
    """
    found = examine(host, port, bandwidth=bandwidth)
    if as_json:
        typer.echo(json.dumps(found.as_json(), indent=1))
    else:
        _show(found)
    raise typer.Exit(FAILURE if found.has_failed else 0)


def examine(host: str, port: int, *, bandwidth: bool) -> Examination:
    """Look at everything."""
    root = Path("/")
    return Examination(
        (
            *examine_versions(),
            *examine_kernels(),
            *examine_cpus(root, own_cpus()),
            *examine_memory(root),
            *(examine_bandwidth(usable_cpus()) if bandwidth else ()),
            *examine_disk(),
            *examine_files(),
            *examine_address(host, port),
        )
    )


def _show(found: Examination) -> None:
    from rich.console import Console  # noqa: PLC0415 -- not needed for JSON
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    topic = ""
    for finding in found.findings:
        head = "" if finding.topic == topic else f"[bold]{finding.topic}[/]"
        topic = finding.topic
        table.add_row(head, _MARKS[finding.verdict], finding.name, escape(finding.text))
    console.print(table)
    console.print()
    if not found.advice:
        console.print("Nothing to change.")
    for advice in found.advice:
        console.print(f"- {escape(advice)}", soft_wrap=True)
