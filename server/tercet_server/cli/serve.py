"""`tercet serve`: from flags to a server that runs until it is told to stop."""

import contextlib
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import typer

from tercet_engine import FetchListener, ProgressListener, ProgressOf
from tercet_engine.hub import parse_hub_name
from tercet_server.cli.banner import Banner
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import cannot_listen
from tercet_server.cli.fetch_progress import FetchBars, FetchLines
from tercet_server.cli.options import with_settings
from tercet_server.cli.progress import LoadingBar, LoadingLines
from tercet_server.logs import make_logger
from tercet_server.model_names import choices_of
from tercet_server.runner import CannotListen, load_from_settings
from tercet_server.runner import serve as run_server
from tercet_server.served_models import ServedModels
from tercet_server.settings import Settings, load_settings
from tercet_server.steady_stream import SteadyStream

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet serve", "the small model inside this package"),
    ("tercet serve microsoft/bitnet-b1.58-2B-4T", "from the Hub; fetched once, then kept"),
    ("tercet serve org/name@revision", "a given revision"),
    ("tercet serve ./model --host 0.0.0.0 --api-key SECRET", "for others on the network"),
    ("tercet serve ./model --context 2048 --threads 4", "less memory, fewer cores"),
    ("tercet serve chat=org/name small=./model", "two models, asked for as chat and small"),
    ("tercet serve --config tercet.toml", "any flag by its name: port = 9000"),
    ("TERCET_PORT=9000 tercet serve", "every flag is a variable too; flags win"),
)


@app.command(epilog=EPILOG)
@with_settings
def serve(**given: Any) -> None:
    """Serve one model or several behind the OpenAI API.

    Answers at /v1/chat/completions, /v1/completions and /v1/models; /health and /ready tell how it
    is. Ctrl-C or SIGTERM ends it once its streams are finished.
    """
    settings = load_settings(**given)
    with _showing_progress(settings) as (fetching, progress_of):
        try:
            exit_code = run_server(
                settings,
                progress_of=progress_of,
                load=partial(load_from_settings, fetching=fetching),
                on_ready=lambda url, models: _greet(settings, url, models),
            )
        except CannotListen as error:
            raise cannot_listen(error, settings.host, settings.port) from error
    raise typer.Exit(exit_code)


@contextlib.contextmanager
def _showing_progress(settings: Settings) -> Iterator[tuple[FetchListener, ProgressOf]]:
    """Bars for each model on a terminal, else lines of the server's own log."""
    say = make_logger(settings).info
    choices = choices_of(settings)
    for choice in choices:
        if _is_on_the_hub(choice.model):
            say("looking for the model on the Hugging Face Hub", model=choice.model)

    def shown(name: str) -> str:
        return name if len(choices) > 1 else ""

    if sys.stderr.isatty() and settings.log_format == "text":
        from rich.console import Console  # noqa: PLC0415 -- not needed in a container

        with contextlib.ExitStack() as bars:

            def bar_of(name: str) -> ProgressListener:
                bar = LoadingBar(Console(stderr=True), shown(name))
                bars.callback(bar.finish)
                return bar

            fetch_bars = FetchBars(Console(stderr=True))
            bars.callback(fetch_bars.finish)
            yield fetch_bars, bar_of
    else:
        yield FetchLines(say), lambda name: LoadingLines(say, name=shown(name))


def _is_on_the_hub(model: str | None) -> bool:
    """Whether the model will be looked for on the Hub, which may take a while."""
    if not (model and parse_hub_name(model)):
        return False
    with contextlib.suppress(OSError, RuntimeError):  # which loading will tell in words
        return not Path(model).expanduser().exists()
    return False


def _greet(settings: Settings, url: str, models: ServedModels) -> None:
    if settings.log_format == "text":
        SteadyStream(sys.stderr).write(f"{Banner(settings, url, models).text()}\n")
