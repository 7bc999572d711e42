"""`tercet inspect`: what is this model, and can this machine serve it?"""

import json
import logging
import os
import sys
from typing import Annotated, Final

import typer

from tercet_engine import EngineConfig, tell_of_lost_pages
from tercet_engine.hub import locate_model
from tercet_engine.inspection import inspect_model
from tercet_server.cli.examples import examples
from tercet_server.cli.model_card import as_json as report_as_json
from tercet_server.cli.model_card import print_card
from tercet_server.cli.values import one_of, whole

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet inspect ./model", "a folder, or a GGUF file"),
    ("tercet inspect microsoft/bitnet-b1.58-2B-4T", "a model of the Hub that has been pulled"),
    ("tercet inspect ./model --context 4096", "would so long a context fit?"),
    ("tercet inspect ./model --json", "for machines"),
)


@app.command(epilog=EPILOG)
def inspect(
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a GGUF file, or the name of a pulled model. Unset: the small model "
            "inside this package. \\[env: TERCET_MODEL]",
            metavar="MODEL",
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            parser=whole(2),
            metavar="N",
            envvar="TERCET_CONTEXT",
            help="Tokens of prompt and answer together. Unset: what the model was made for.",
        ),
    ] = None,
    head: Annotated[
        str,
        typer.Option(
            parser=one_of("int8", "bf16"),
            metavar="int8|bf16",
            envvar="TERCET_HEAD",
            help="How the output head is stored.",
        ),
    ] = "int8",
    kv_type: Annotated[
        str,
        typer.Option(
            parser=one_of("bf16", "f32", "int8"),
            metavar="bf16|f32|int8",
            envvar="TERCET_KV_TYPE",
            help="How keys and values are kept.",
        ),
    ] = "bf16",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", envvar="TERCET_INSPECT_JSON", help="Print JSON on stdout and nothing else."
        ),
    ] = False,
) -> None:
    """Tell what a model is, and whether this machine can serve it.

    Reads headers, and of GGUF files whether I2_S weights are sound. Exits with 0 if the model can
    be served; else with 1, and the reason on stderr.
    """
    config = EngineConfig(
        max_context=context,
        head=head,  # type: ignore[arg-type] # parsed to be one of its values
        kv_type=kv_type,  # type: ignore[arg-type] # the same
    )
    logging.getLogger("tercet_engine").addHandler(logging.NullHandler())  # the table says it all
    tell_of_lost_pages()
    found = locate_model(model or os.environ.get("TERCET_MODEL") or None, offline=True)
    report = inspect_model(found.path, found.model_id, config, reads_codes=True)
    if as_json:
        print(json.dumps(report_as_json(report), indent=2))
    else:
        from rich.console import Console  # noqa: PLC0415 -- --json needs it not

        print_card(report, Console())
    if report.reason is None:
        return
    print(f"tercet: {report.reason}", file=sys.stderr)
    raise typer.Exit(1)
