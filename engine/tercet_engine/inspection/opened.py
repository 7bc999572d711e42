"""A model, opened step by step as serving it would: its tensors, then its texts."""

from dataclasses import replace
from typing import Final

from tercet_engine.chat_template import ChatTemplate
from tercet_engine.checkpoint import Checkpoint
from tercet_engine.errors import CheckpointError
from tercet_engine.families.family import WeightForm
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.inspection.report import ModelReport, TokenizerFacts, Verdict
from tercet_engine.inspection.scan import rows_of, ternary_group
from tercet_engine.opened_model import open_checkpoint, open_model
from tercet_engine.packed.checkpoint import PackedCheckpoint

FORMS: Final = {
    WeightForm.PACKED: "packed, 2 bits, scale to multiply by",
    WeightForm.PACKED_INVERSE: "packed, 2 bits, scale to divide by",
    WeightForm.MASTERS: "masters, made ternary when they are loaded",
    WeightForm.DENSE: "numbers that are ternary already",
}


def describe_opened(report: ModelReport) -> None:
    """Fill in what opening a model tells, up to what it refuses.

    Raises:
        LoadError: it cannot be opened.
    """
    checkpoint = open_checkpoint(report.path)
    shape = report.shape = checkpoint.shape
    if report.weights is None:
        report.weights = (
            f"packed as they are computed with; converted from {checkpoint.made_from}"
            if isinstance(checkpoint, PackedCheckpoint)
            else FORMS[checkpoint.form]
        )
    if not isinstance(checkpoint, PackedCheckpoint) and checkpoint.needs_grid:
        _look_for_grid(report, checkpoint)
    elif shape.weight_group:
        report.grid = f"one scale for {shape.weight_group} columns"
    elif report.grid is None:
        report.grid = "one scale a matrix"
    report.activations = "int8, one scale a token"
    if shape.activation_group:
        columns = shape.activation_group
        report.activations = f"floating point, rounded with one scale for {columns} of a token"
    opened = open_model(report.path)
    report.overrides = opened.overrides
    report.tokenizer = TokenizerFacts(
        kind=opened.tokenizer.kind,
        num_tokens=opened.tokenizer.vocab_size,
        begins_with=tuple(map(opened.tokenizer.token_text, opened.tokenizer.bos_tokens)),
    )
    report.chat_template = _origin(opened.chat_template, checkpoint.default_template)
    report.stop_tokens = tuple(
        (opened.tokenizer.token_text(token), token) for token in sorted(opened.stop_token_ids)
    )


def _look_for_grid(report: ModelReport, checkpoint: Checkpoint | GgufCheckpoint) -> None:
    """Look at a few rows, as loading looks at all of them."""
    source = checkpoint.linear(0, "q")
    group = ternary_group(rows_of(source))
    if group is None:
        report.refuse(Verdict.NOT_TERNARY, ordinary(report, source.layout))
        return
    report.grid = f"one scale for {group} columns" if group else "one scale a row"
    report.shape = replace(checkpoint.shape, weight_group=group)


def ordinary(report: ModelReport, kinds: str) -> str:
    """The sentence for weights that are not ternary."""
    architecture = f"{report.architecture} " if report.architecture else ""
    return (
        f"{report.path} holds ordinary {architecture}weights ({kinds.lower()}), which are not "
        "ternary; only models whose weights are -1, 0 and +1 times a scale are served"
    )


def refuse_damage(report: ModelReport, error: CheckpointError, *, is_incomplete: bool) -> None:
    """Note a fault of the files."""
    verdict = Verdict.INCOMPLETE if is_incomplete else Verdict.DAMAGED
    report.refuse(verdict, str(error))


def _origin(template: ChatTemplate | None, default: str | None) -> str:
    if template is None:
        return "none: a base model"
    return "its family's" if template.source == default else "its own"
