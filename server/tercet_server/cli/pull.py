"""`tercet pull`: a model of the Hub onto this disk, to be served later, also without a network."""

from typing import Annotated, Final

import typer

from tercet_engine.hub import Form, Wanted, parse_hub_name
from tercet_engine.hub.fetch import fetch_model
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import UsageError
from tercet_server.cli.fetch_progress import showing_fetch
from tercet_server.cli.values import one_of

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet pull microsoft/bitnet-b1.58-2B-4T", "1.2 GB; an interrupted pull goes on"),
    ("tercet pull org/name@v1.0", "a branch, a tag or a commit"),
    ("tercet pull org/name:Q2_0", "one GGUF file among several"),
    ("tercet pull org/name --file '*tq2_0*'", "the same, by a pattern"),
)


@app.command(epilog=EPILOG)
def pull(
    *,
    name: Annotated[
        str,
        typer.Argument(
            help="org/name, also with @REVISION, :QUANTISATION or /FILE.gguf.", metavar="NAME"
        ),
    ],
    revision: Annotated[
        str | None,
        typer.Option(
            envvar="TERCET_PULL_REVISION",
            help="Branch, tag or commit. Unset: the default branch.",
            metavar="REV",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="HF_TOKEN",
            help="The Hub's token, for gated and private models. Unset: what `hf auth login` kept.",
            metavar="TOKEN",
            show_default=False,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            parser=one_of(*Form),
            envvar="TERCET_PULL_FORMAT",
            help="Which weights to fetch; auto: safetensors where there are any, else GGUF.",
            metavar="auto|safetensors|gguf",
        ),
    ] = "auto",
    file: Annotated[
        str,
        typer.Option(
            envvar="TERCET_PULL_FILE",
            help="Pattern of the GGUF file to fetch, e.g. '*Q2_0*'.",
            metavar="GLOB",
        ),
    ] = "",
) -> None:
    """Fetch a model from the Hugging Face Hub.

    Fetches only what is needed, into the Hub's own cache (HF_HOME moves it), goes on where an
    interrupted pull ended, and checks every file's checksum. HF_ENDPOINT names another Hub.
    """
    wanted_name = parse_hub_name(f"{name}@{revision}" if revision else name)
    if wanted_name is None:
        given = f" with the revision {revision}" if revision else ""
        message = f"{name}{given} is no name on the Hugging Face Hub; one is org/name"
        raise UsageError(message)
    with showing_fetch() as listener:
        path = fetch_model(wanted_name, Wanted(Form(form), file), listener, token)
    typer.echo(f"{wanted_name} is at {path}")
    typer.echo(f"Serve it: tercet serve {path if file or form == Form.GGUF else wanted_name}")
