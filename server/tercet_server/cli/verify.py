"""`tercet verify`: is a model what its authors published, and one with itself?"""

import dataclasses
import json
import os
from typing import Annotated, Final

import typer

from tercet_engine import tell_of_lost_pages
from tercet_engine.hub import find_model
from tercet_engine.opened_model import open_model
from tercet_engine.verification import Check, Reference, find_reference, verify
from tercet_server.cli.examples import examples
from tercet_server.cli.fetch_progress import showing_fetch
from tercet_server.cli.values import whole

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet verify microsoft/bitnet-b1.58-2B-4T", "against published numbers"),
    ("tercet verify", "the small model inside this package"),
    ("tercet verify ./model --as microsoft/bitnet-b1.58-2B-4T", "if you know that it is it"),
    ("tercet verify ./model --json", "for machines"),
)
_WORDS: Final = {True: "pass", False: "FAIL", None: "  - "}


@app.command("verify", epilog=EPILOG)
def verify_command(
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a GGUF file, or a name on the Hugging Face Hub. Unset: the small model "
            "inside this package. \\[env: TERCET_MODEL]",
            metavar="MODEL",
        ),
    ] = None,
    as_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            envvar="TERCET_VERIFY_AS",
            help="Compare with the numbers of this model. Unset: as weights, tokenizer and sizes "
            "say.",
            metavar="NAME",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            parser=whole(1, 1024),
            metavar="N",
            envvar="TERCET_THREADS",
            help="Worker threads. Unset: what this process may use.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", envvar="TERCET_VERIFY_JSON", help="Print JSON on stdout and nothing else."
        ),
    ] = False,
) -> None:
    """Compare a model with published numbers, and with itself.

    Computes as exactly as the engine can (--head bf16, --kv-type f32, --activations int16). Where
    no published numbers are known, what must hold for every model is still checked. Exits with 1 if
    a check fails.
    """
    tell_of_lost_pages()
    with showing_fetch(quiet=as_json) as fetching:
        folder = find_model(model or os.environ.get("TERCET_MODEL") or None, fetching)
    opened = open_model(folder.path)
    reference = find_reference(folder.path, opened.checkpoint.shape, as_name)
    if not as_json:
        _print_head(folder.model_id, reference)
    checks = []
    for check in verify(opened.checkpoint, opened.tokenizer, reference, num_threads=threads):
        checks.append(check)
        if not as_json:
            _print(check)
    has_failed = any(check.has_passed is False for check in checks)
    if as_json:
        found = {
            "model": folder.model_id,
            "reference": reference and reference.name,
            "passed": not has_failed,
            "checks": [dataclasses.asdict(check) for check in checks],
        }
        print(json.dumps(found, indent=2))
    else:
        count = sum(check.has_passed is False for check in checks)
        print(f"{count} of {len(checks)} checks failed" if count else "no check failed")
    raise typer.Exit(1 if has_failed else 0)


def _print_head(name: str, reference: Reference | None) -> None:
    if reference is None:
        print(f"{name}: no published numbers are known for it; it is compared with itself")
        return
    print(f"{name} against {reference.name}: numbers of {reference.source}")
    print(f"tolerances: {reference.tolerance_note}")


def _print(check: Check) -> None:
    detail = f": {check.detail}" if check.detail else ""
    print(f"{_WORDS[check.has_passed]}  {check.name}{detail}", flush=True)
