"""`tercet models`: what is on this disk, and what of it can be served."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tercet_engine import EngineConfig
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import CommandError, UsageError
from tercet_server.cli.shelf import Book, every_book, removable, remove
from tercet_server.cli.units import size

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet models", "the Hub's cache and the embedded model"),
    ("tercet models --dir ~/models", "also the folders and GGUF files in there"),
    ("tercet models --json", "for machines"),
    ("tercet models rm org/name", "frees its disk space, after asking"),
)


@app.callback(invoke_without_command=True, epilog=EPILOG)
def models(
    ctx: typer.Context,
    *,
    folders: Annotated[
        list[Path] | None,
        typer.Option(
            "--dir",
            envvar="TERCET_MODELS_DIR",
            help="Also list the models in this folder; may be repeated.",
            metavar="FOLDER",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", envvar="TERCET_MODELS_JSON", help="Print JSON on stdout and nothing else."
        ),
    ] = False,
) -> None:
    """List the models on this disk.

    Looks into the Hugging Face Hub's cache (HF_HOME moves it), where `tercet pull` puts models, and
    into the folders given. Reads headers only.
    """
    if ctx.invoked_subcommand is not None:
        return
    for folder in folders or ():
        if not folder.expanduser().is_dir():
            message = f"--dir {folder} is no folder"
            raise UsageError(message)
    logging.getLogger("tercet_engine").addHandler(logging.NullHandler())  # the table says enough
    books = every_book([folder.expanduser() for folder in folders or ()], EngineConfig())
    if as_json:
        print(json.dumps([_as_json(book) for book in books], indent=2))
    else:
        _print(books)


@app.command("rm")
def rm(
    *,
    name: Annotated[str, typer.Argument(help="org/name, as `tercet models` lists it.")],
    yes: Annotated[
        bool, typer.Option("--yes", envvar="TERCET_MODELS_YES", help="Do not ask.")
    ] = False,
) -> None:
    """Remove a model from the Hub's cache, with all its revisions."""
    found = removable(name)
    if found is None:
        message = f"{name} is not in the Hub's cache; `tercet models` lists what is"
        raise CommandError(message)
    if not yes:
        typer.confirm(f"Remove {name}, {size(found.num_bytes)}?", abort=True)
    remove(found)
    typer.echo(f"removed {name}, {size(found.num_bytes)}")


def _as_json(book: Book) -> dict[str, Any]:
    report = book.report
    return {
        "name": book.name,
        "revision": book.revision,
        "path": str(report.path),
        "architecture": report.architecture,
        "format": report.format,
        "num_bytes": report.num_bytes,
        "servable": report.reason is None,
        "verdict": report.verdict,
        "reason": report.reason,
    }


def _print(books: list[Book]) -> None:
    from rich.console import Console  # noqa: PLC0415 -- --json needs it not
    from rich.table import Table  # noqa: PLC0415 -- the same

    table = Table(box=None, pad_edge=False)
    for heading in ("name", "revision", "architecture", "format"):
        table.add_column(heading, overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("served", no_wrap=True)
    for book in books:
        report = book.report
        table.add_row(
            book.name,
            book.revision,
            report.architecture or "-",
            report.format or "-",
            size(report.num_bytes),
            report.verdict,
        )
    Console().print(table, markup=False)
