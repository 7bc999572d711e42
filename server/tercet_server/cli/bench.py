"""`tercet bench`: how fast is this host, and what limits it?"""

import json
import os
import re
import sys
from typing import Annotated, Final

import typer

from tercet_engine import EngineConfig, tell_of_lost_pages
from tercet_server.cli.bandwidth import BandwidthMeter
from tercet_server.cli.examples import examples
from tercet_server.cli.failure import UsageError
from tercet_server.cli.fetch_progress import showing_fetch
from tercet_server.cli.host import peak_memory_bytes
from tercet_server.cli.measure import Workload, measure
from tercet_server.cli.progress import showing_progress
from tercet_server.cli.report import Report
from tercet_server.cli.subject import find_source, load_subject
from tercet_server.cli.values import is_from_environment, one_of, whole
from tercet_server.model_choice import Choice

DEFAULT_CONTEXT: Final = 4096
MAX_STREAMS: Final = 512
MAX_ROUNDS: Final = 10_000
MAX_TOKENS: Final = 1 << 20
"""Of a context, as for `tercet serve`."""

app = typer.Typer(add_completion=False)

EPILOG: Final = examples(
    ("tercet bench --synthetic 2b4t", "random weights of BitNet 2B4T's shape; no download"),
    ("tercet bench", "the small model inside this package"),
    ("tercet bench ./model --streams 4,8,16", "a folder, also with many streams at once"),
    ("tercet bench --synthetic 2b4t --json > host.json", "for machines"),
)


@app.command(epilog=EPILOG)
def bench(
    ctx: typer.Context,
    *,
    model: Annotated[
        str | None,
        typer.Argument(
            help="A folder, a GGUF file, or a name on the Hugging Face Hub. Unset: the small model "
            "inside this package. \\[env: TERCET_MODEL]",
            metavar="MODEL",
        ),
    ] = None,
    synthetic: Annotated[
        str | None,
        typer.Option(
            envvar="TERCET_BENCH_SYNTHETIC",
            help="Random weights of this shape instead of a model: tiny, 700m, 2b4t or 8b.",
            metavar="SHAPE",
        ),
    ] = None,
    prompt_tokens: Annotated[
        int,
        typer.Option(
            parser=whole(1, MAX_TOKENS),
            metavar="N",
            envvar="TERCET_BENCH_PROMPT_TOKENS",
            help="Tokens of the prompt.",
        ),
    ] = 512,
    generate_tokens: Annotated[
        int,
        typer.Option(
            parser=whole(1, MAX_TOKENS),
            metavar="N",
            envvar="TERCET_BENCH_GENERATE_TOKENS",
            help="Tokens generated in each round.",
        ),
    ] = 64,
    repeat: Annotated[
        int,
        typer.Option(
            parser=whole(1, MAX_ROUNDS),
            metavar="N",
            envvar="TERCET_BENCH_REPEAT",
            help="Rounds; medians are reported.",
        ),
    ] = 3,
    streams: Annotated[
        str,
        typer.Option(
            metavar="N,N,...",
            envvar="TERCET_BENCH_STREAMS",
            help="Also decode so many streams together, e.g. 4,8,16.",
        ),
    ] = "",
    context: Annotated[
        int | None,
        typer.Option(
            parser=whole(2, MAX_TOKENS),
            metavar="N",
            envvar="TERCET_CONTEXT",
            help=f"Tokens of prompt and answer together. Unset: {DEFAULT_CONTEXT}, or the model's.",
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
    kernels: Annotated[
        str,
        typer.Option(
            envvar="TERCET_KERNELS",
            metavar="NAME",
            help="Kernel set to force, e.g. avx2. Unset: the best that this CPU runs.",
        ),
    ] = "",
    packing: Annotated[
        str,
        typer.Option(
            envvar="TERCET_PACKING",
            metavar="NAME",
            help="How ternary weights are kept, e.g. 2bit; auto: as measured fastest.",
        ),
    ] = "auto",
    head: Annotated[
        str,
        typer.Option(
            parser=one_of("int8", "bf16"),
            metavar="int8|bf16",
            envvar="TERCET_HEAD",
            help="How the output head is stored. Random weights take int8 only.",
        ),
    ] = "int8",
    kv_type: Annotated[
        str,
        typer.Option(
            parser=one_of("bf16", "f32", "int8"),
            metavar="bf16|f32|int8",
            envvar="TERCET_KV_TYPE",
            help="How keys and values are kept: f32 is exact, at twice the memory; int8 at half.",
        ),
    ] = "bf16",
    activations: Annotated[
        str,
        typer.Option(
            parser=one_of("int8", "int16"),
            metavar="int8|int16",
            envvar="TERCET_ACTIVATIONS",
            help="How activations are rounded where a model leaves them open.",
        ),
    ] = "int16",
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            envvar="TERCET_BENCH_JSON",
            help="Print JSON on stdout and nothing else.",
        ),
    ] = False,
) -> None:
    """Measure how fast this host runs a model, and what limits it.

    Loads the model, then measures the time to the first token, decoding, and in between the speed
    of the memory, which bounds decoding. Run it while nothing else runs.

    The peak of memory is what the workload held; with a full context means that and the keys and
    values of the tokens up to --context which it did not reach.
    """
    if model is not None and synthetic is not None:
        if not is_from_environment(ctx, "synthetic"):
            message = "give a MODEL or --synthetic, not both"
            raise UsageError(message)
        synthetic = None
    if synthetic is not None and head == "bf16":
        message = (
            "--head bf16 cannot be measured with --synthetic, whose rows of the head overlap in "
            "memory and so stay in the caches; use --head int8, or a model"
        )
        raise UsageError(message)
    workload = Workload(prompt_tokens, generate_tokens, repeat, _numbers(streams))
    tell_of_lost_pages()
    with showing_fetch(quiet=as_json) as fetching:
        source = find_source(model or _first_model_of_the_environment(), synthetic, fetching)
    max_context = context or min(DEFAULT_CONTEXT, source.weights.shape.max_context)
    workload.check(max_context)
    config = EngineConfig(
        max_context=max_context,
        max_sequences=max((1, *workload.streams)),
        num_threads=threads,
        kernels=kernels,
        packing=packing,
        head=head,  # type: ignore[arg-type] # parsed to be one of its values
        kv_type=kv_type,  # type: ignore[arg-type] # the same
        activations=activations,  # type: ignore[arg-type] # the same
        touch_kv_cache=False,  # so that the peak is of what the workload really holds
        prefix_cache=False,
        max_step_ms=0,
        speculation="off",
    )
    with showing_progress(quiet=as_json) as progress:
        subject = load_subject(source, config, progress)
    try:
        with BandwidthMeter(subject.num_threads) as meter:
            say = _tell if sys.stderr.isatty() or not as_json else lambda _: None
            figures = measure(subject, workload, meter.measure, on_round=say)
        report = Report(subject, workload, figures, peak_memory_bytes())
    finally:
        subject.runner.close()
    if as_json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        from rich.console import Console  # noqa: PLC0415 -- --json needs it not

        report.print_table(Console())


def _tell(what: str) -> None:
    print(f"measuring: {what}", file=sys.stderr, flush=True)


def _first_model_of_the_environment() -> str | None:
    """The variable may name several, as a server of this host reads it."""
    return Choice.of(os.environ.get("TERCET_MODEL", "").split(",")[0].strip()).model


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    are_short = all(re.fullmatch("[0-9]{1,9}", part) for part in parts)
    if not are_short or not all(1 <= int(part) <= MAX_STREAMS for part in parts):
        message = f"--streams takes numbers from 1 to {MAX_STREAMS} between commas; got '{text}'"
        raise UsageError(message)
    return tuple(map(int, parts))
