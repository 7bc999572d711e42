"""`tercet convert`: a model as a folder that loads in about a second, with nothing to pack."""

import contextlib
import errno
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tercet_engine import tell_of_lost_pages
from tercet_engine.hub import find_model
from tercet_engine.packed.convert import Conversion, check_free, convert_model
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import CommandError, UsageError
from tercet_server.cli.fetch_progress import showing_fetch
from tercet_server.cli.progress import showing_progress
from tercet_server.cli.units import size
from tercet_server.cli.values import whole

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet convert ./model ./model-packed", "a folder in the Hugging Face layout"),
    ("tercet convert model.gguf ./model-packed", "a GGUF file"),
    ("tercet convert org/name ./packed --force", "from the Hub, in place of an older one"),
    ("tercet serve ./model-packed", "loads in about a second"),
)


@app.command(epilog=EPILOG)
def convert(
    *,
    path: Annotated[
        str,
        typer.Argument(
            help="A folder, a GGUF file, or a name on the Hugging Face Hub.", metavar="PATH"
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to make.", metavar="OUT")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            envvar="TERCET_CONVERT_FORCE",
            help="Replace OUT, if that is a converted model. Nothing else is.",
        ),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=whole(1, 1024),
            metavar="N",
            envvar="TERCET_THREADS",
            help="Threads to pack with. Unset: what this process may use.",
        ),
    ] = None,
) -> None:
    """Pack a model's weights once, so that serving it does not.

    OUT holds the weights as they are computed with, and everything else that is served of the
    model; answers and fingerprint are those of the model it was made from. OUT appears when it is
    complete. Servers that share a machine can share its weights too: serve --packing mapped.
    """
    out = out.expanduser()
    with _told_in_words(out), _ended_by_signals():
        check_free(out, replace=force)
        tell_of_lost_pages()
        with showing_fetch() as fetching:
            model = find_model(path, fetching)
        with showing_progress("converting") as progress:
            made = convert_model(
                model.path,
                out,
                name=model.model_id,
                progress=progress,
                replace=force,
                num_threads=threads or 0,
            )
    _report(made)


def _report(made: Conversion) -> None:
    sizes = f"{size(made.num_bytes)}, made of {size(made.source_bytes)}"
    outliers = f"; {made.num_outliers:,} weights are on no grid" if made.num_outliers else ""
    typer.echo(f"{made.folder}: {sizes}{outliers}")
    typer.echo(f"Serve it: tercet serve {made.folder}")


@contextlib.contextmanager
def _told_in_words(out: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        advice = "; choose another folder, or --force to replace it" if _may_force(error) else ""
        message = f"{error.filename} {error.strerror}{advice}"
        raise UsageError(message) from error
    except NotADirectoryError as error:
        message = f"{out} cannot be made: {error.filename} is a file; choose another folder"
        raise UsageError(message) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            message = (
                f"{out}: the disk is full: {error.strerror}; free some space, or choose another"
            )
        else:
            message = f"{error.filename or out} cannot be written or read: {error.strerror}"
        raise CommandError(message) from error


def _may_force(error: FileExistsError) -> bool:
    return error.strerror == "is there already"


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A request to end is an interruption, so that what is half written is removed."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
