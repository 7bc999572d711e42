"""`tercet serve`: from flags to a server that runs until it is told to stop."""

import contextlib
import errno
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from tercet_engine import AsyncEngine, FetchListener, ProgressListener, load_engine
from tercet_engine.hub import parse_hub_name
from tercet_server.cli.banner import Banner
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import cannot_listen
from tercet_server.cli.fetch_progress import FetchBars, FetchLines
from tercet_server.cli.options import with_settings
from tercet_server.cli.progress import LoadingBar, LoadingLines
from tercet_server.logs import make_logger
from tercet_server.runner import serve as run_server
from tercet_server.settings import Settings, load_settings

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet serve", "the small model inside this package"),
    ("tercet serve microsoft/bitnet-b1.58-2B-4T", "from the Hub; fetched once, then kept"),
    ("tercet serve org/name@revision", "a given revision"),
    ("tercet serve ./model --host 0.0.0.0 --api-key SECRET", "for others on the network"),
    ("tercet serve ./model --context 2048 --threads 4", "less memory, fewer cores"),
    ("TERCET_PORT=9000 tercet serve", "every flag is a variable too; flags win"),
)
_ADDRESS_ERRORS: Final = frozenset(
    {errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES, errno.EAFNOSUPPORT, errno.EINVAL}
)


@app.command(epilog=EPILOG)
@with_settings
def serve(**given: Any) -> None:
    """Serve a model behind the OpenAI API.

    Answers at /v1/chat/completions, /v1/completions and /v1/models; /health and /ready tell how it
    is. Ctrl-C or SIGTERM ends it once its streams are finished.
    """
    settings = load_settings(**given)
    with _showing_progress(settings) as (fetching, progress):
        try:
            exit_code = run_server(
                settings,
                progress=progress,
                load=lambda settings, progress: load_engine(
                    settings.model, settings.engine_config(), progress=progress, fetching=fetching
                ),
                on_ready=lambda url, engine: _greet(settings, url, engine),
            )
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno in _ADDRESS_ERRORS:
                raise cannot_listen(error, settings.host, settings.port) from error
            raise
    raise typer.Exit(exit_code)


@contextlib.contextmanager
def _showing_progress(settings: Settings) -> Iterator[tuple[FetchListener, ProgressListener]]:
    """Bars on a terminal, else lines of the server's own log."""
    say = make_logger(settings).info
    if _is_on_the_hub(settings.model):
        say("looking for the model on the Hugging Face Hub", model=settings.model)
    if sys.stderr.isatty() and settings.log_format == "console":
        from rich.console import Console  # noqa: PLC0415 -- not needed in a container

        bars, bar = FetchBars(Console(stderr=True)), LoadingBar(Console(stderr=True))
        try:
            yield bars, bar
        finally:
            bars.finish()
            bar.finish()
    else:
        yield FetchLines(say), LoadingLines(say)


def _is_on_the_hub(model: str | None) -> bool:
    """Whether the model will be looked for on the Hub, which may take a while."""
    return bool(model and parse_hub_name(model) and not Path(model).expanduser().exists())


def _greet(settings: Settings, url: str, engine: AsyncEngine) -> None:
    if settings.log_format == "console":
        print(Banner(settings, url, engine).text(), file=sys.stderr, flush=True)
