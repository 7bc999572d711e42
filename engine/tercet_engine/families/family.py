"""What a family of checkpoints tells the loader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import ModelShape


class WeightForm(StrEnum):
    """How a family's linear layers are stored."""

    PACKED = "packed"
    """uint8 [rows / 4, cols] of 2-bit codes, and a scale of its own to multiply with."""
    MASTERS = "masters"
    """[rows, cols] of floats, to be rounded to -1, 0, +1 times their mean magnitude."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one checkpoint, as its config says."""

    shape: ModelShape
    form: WeightForm
    has_tied_head: bool


@dataclass(frozen=True, slots=True)
class Family:
    """Names and rules shared by all checkpoints of a family.

    Attributes:
        architecture: as `config.json` names it.
        read_plan: checks a config and reads the sizes from it; raises `CheckpointError` or
            `UnsupportedModel`.
        linears: our name of each linear layer, to the checkpoint's under "model.layers.N.".
        norms: the same for norms.
        chat_template: used where a checkpoint brings none; None: it is then a base model.
    """

    architecture: str
    read_plan: Callable[[ConfigFile], Plan]
    linears: Mapping[str, str]
    norms: Mapping[str, str]
    chat_template: str | None
