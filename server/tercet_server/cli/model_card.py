"""An inspected model as a table to read, and as JSON."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from tercet_engine.inspection import ModelReport
from tercet_server.cli.units import size

_MAX_STOPS = 8


def as_json(report: ModelReport) -> dict[str, Any]:
    """Every fact by name; sizes in bytes."""
    facts = dataclasses.asdict(report)
    return facts | {
        "path": str(report.path),
        "servable": report.reason is None,
        "num_bytes": report.num_bytes,
        "stop_tokens": [{"text": text, "id": token} for text, token in report.stop_tokens],
    }


def print_card(report: ModelReport, console: Console) -> None:
    """Print what is known."""
    table = Table(title=report.name, title_justify="left", show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in _rows(report):
        table.add_row(name, value)
    console.print(table, markup=False)


def _rows(report: ModelReport) -> Iterator[tuple[str, str]]:
    yield "where", str(report.path)
    if report.architecture:
        yield "architecture", report.architecture
    if report.files:
        count = f", {len(report.files)} files" if len(report.files) > 1 else ""
        yield "format", f"{report.format}, {size(report.num_bytes)}{count}"
    for name in ("weights", "grid", "activations"):
        value = getattr(report, name)
        if value:
            yield name, value
    yield from _shape_rows(report)
    if report.tokenizer:
        first = " ".join(report.tokenizer.begins_with) or "nothing"
        yield (
            "tokenizer",
            f"{report.tokenizer.kind}, {report.tokenizer.num_tokens} tokens; {first} before a text",
        )
    if report.chat_template:
        yield "chat template", report.chat_template
    if report.stop_tokens:
        stops = [f"{text} ({token})" for text, token in report.stop_tokens[:_MAX_STOPS]]
        yield "stop tokens", ", ".join(stops)
    for override in report.overrides:
        yield "put right", override
    yield from _memory_rows(report)
    yield "can be served", report.verdict


def _shape_rows(report: ModelReport) -> Iterator[tuple[str, str]]:
    shape = report.shape
    if shape is None:
        return
    yield (
        "sizes",
        f"{shape.num_layers} layers, {shape.hidden_size} wide, {shape.intermediate_size} in "
        f"between; {shape.num_heads} heads of {shape.head_dim}, {shape.num_kv_heads} for keys",
    )
    yield "ternary weights", f"{shape.num_ternary_weights:,}"
    yield "feed forward", str(shape.activation)
    yield "context", f"{shape.max_context} tokens"


def _memory_rows(report: ModelReport) -> Iterator[tuple[str, str]]:
    memory = report.memory
    if memory is None:
        return
    yield (
        f"memory at {memory.context} tokens",
        f"{size(memory.weight_bytes)} weights, {size(memory.kv_cache_bytes)} keys and values "
        f"({size(memory.kv_bytes_per_token)} a token), {size(memory.workspace_bytes)} workspace",
    )
    longest = f"{memory.largest_context} tokens" if memory.largest_context else "none"
    yield (
        "this machine",
        f"{size(memory.usable_bytes)} usable; longest context that fits: {longest}",
    )
