"""`tercet chat`: talk to a model in the terminal, on a server or in this process."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer

from tercet_server.cli.conversation import Answerer, ChatError, Conversation, Screen
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import CommandError, UsageError
from tercet_server.cli.remote import NoServerError, RemoteAnswerer
from tercet_server.cli.values import is_from_environment, number, whole

app = typer.Typer(add_completion=False)

PROBE_SECONDS: Final = 0.5
"""How long to look for a server on this host that nobody said is there."""

EPILOG: Final = examples(
    ("tercet chat", "the server on this host, or the small model if there is none"),
    ("tercet chat http://10.0.0.5:8000/v1", "a server elsewhere"),
    ("tercet chat ./model --temperature 0", "a model without a server"),
    ('echo "Tell me a story." | tercet chat', "one answer, for scripts"),
)


@app.command(epilog=EPILOG)
def chat(
    ctx: typer.Context,
    *,
    target: Annotated[
        str | None,
        typer.Argument(
            help="A server's URL, or a model: a folder or a name on the Hugging Face Hub.",
            metavar="URL|MODEL",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="TERCET_CHAT_URL",
            help="A server's URL. Unset: http://127.0.0.1:8000/v1 if a server answers there.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="TERCET_CHAT_MODEL",
            help="Which of the server's models to talk to.",
        ),
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="TERCET_API_KEY", metavar="KEY", help="The server's key."),
    ] = None,
    system: Annotated[
        str,
        typer.Option(metavar="TEXT", envvar="TERCET_CHAT_SYSTEM", help="System prompt."),
    ] = "",
    temperature: Annotated[
        float | None,
        typer.Option(
            parser=number(0, 2),
            metavar="0..2",
            envvar="TERCET_CHAT_TEMPERATURE",
            help="0: always the likeliest token.",
        ),
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            parser=number(0.001, 1),
            metavar="0..1",
            envvar="TERCET_CHAT_TOP_P",
            help="Draw from the likeliest tokens only.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            parser=whole(1, 1 << 20),
            metavar="N",
            envvar="TERCET_CHAT_MAX_TOKENS",
            help="Length of an answer at most.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            parser=whole(0, 2**63 - 1),
            metavar="N",
            envvar="TERCET_CHAT_SEED",
            help="The same seed gives the same answers.",
        ),
    ] = None,
) -> None:
    """Talk to a model in the terminal.

    /help lists what can be typed beside questions; Ctrl-C stops an answer, Ctrl-D leaves.
    """
    options = {
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "seed": seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if target is not None and is_from_environment(ctx, "url"):
        url = None
    answerer = _answerer(target, url, model, _first_key(api_key), given)
    is_interactive = sys.stdin.isatty()
    try:
        if is_interactive:
            print(f"{answerer.name}. /help for help, Ctrl-D to leave.", file=sys.stderr)
        Conversation(answerer, _screen(), system, is_interactive).run()
    except ChatError as error:
        raise CommandError(str(error)) from error
    finally:
        answerer.close()


def _answerer(
    target: str | None,
    url: str | None,
    model: str | None,
    api_key: str | None,
    given: dict[str, Any],
) -> Answerer:
    if target is not None and url is not None:
        message = "give a URL or a MODEL, not both"
        raise UsageError(message)
    if target is not None and (found := _as_url(target)):
        target, url = None, found
    if url is not None:
        return RemoteAnswerer.connect(url, api_key, model, given)
    if target is None:
        try:
            return RemoteAnswerer.connect(
                _default_url(), api_key, model, given, connect_seconds=PROBE_SECONDS
            )
        except NoServerError:
            if model is not None:  # there must have been one
                raise
    return _load(target, given)


def _load(model: str | None, given: dict[str, Any]) -> Answerer:
    from tercet_engine import (  # noqa: PLC0415 -- slow, and often not needed
        EngineConfig,
        find_model,
        load_engine,
        tell_of_lost_pages,
    )
    from tercet_server.cli.fetch_progress import showing_fetch  # noqa: PLC0415 -- the same
    from tercet_server.cli.local import Choices, LocalAnswerer  # noqa: PLC0415 -- the same
    from tercet_server.cli.progress import showing_progress  # noqa: PLC0415 -- the same
    from tercet_server.model_names import choices_of  # noqa: PLC0415 -- the same
    from tercet_server.settings import load_settings  # noqa: PLC0415 -- the same

    tell_of_lost_pages()
    given_models = None if model is None else (model,)
    settings = load_settings(model=given_models)  # what `tercet serve` reads counts here too
    config = EngineConfig(
        max_context=settings.context,
        max_sequences=1,
        num_threads=settings.threads,
        kernels=settings.kernels,
        packing=settings.packing,
        head=settings.head,
        activations=settings.activations,
        kv_type=settings.kv_type,
        touch_kv_cache=False,
    )
    with showing_fetch() as fetching:
        found = find_model(choices_of(settings)[0].model, fetching)
    with showing_progress(quiet=True) as progress:
        engine = load_engine(found, config, progress=progress)
    return LocalAnswerer(engine, Choices(**given))


def _as_url(target: str) -> str | None:
    """The URL that is meant, if one is: "localhost:8000" is more likely a server than a model."""
    if target.startswith(("http://", "https://")):
        return target
    return f"http://{target}" if re.match(r"[\w.-]+:\d+(/|$)", target) else None


def _default_url() -> str:
    return f"http://127.0.0.1:{os.environ.get('TERCET_PORT') or 8000}/v1"


def _first_key(api_key: str | None) -> str | None:
    """The variable may hold all keys of a server on this host, between commas."""
    return api_key.split(",")[0].strip() if api_key else None


def _screen() -> Screen:
    is_terminal = sys.stdout.isatty()
    has_colours = is_terminal and "NO_COLOR" not in os.environ

    def write(text: str) -> None:
        print(text, end="", flush=True)

    def note(text: str) -> None:
        if has_colours:
            print(f"\x1b[2m{text}\x1b[0m", flush=True)
        else:
            print(text, file=sys.stdout if is_terminal else sys.stderr, flush=True)

    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no UTF-8 become U+FFFD
    return Screen(_typed() if sys.stdin.isatty() else sys.stdin, write, note)


def _typed() -> Iterator[str]:
    """Lines from a terminal, with editing and history."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401, PLC0415 -- importing it makes `input` edit lines

    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:  # a line given up
            print(file=sys.stderr)
        except EOFError:
            print(file=sys.stderr)
            return
