"""What a family of checkpoints tells the loader."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import ModelShape


class WeightForm(StrEnum):
    """How a family's linear layers are stored."""

    PACKED = "packed"
    """uint8 [rows / 4, cols] of 2-bit codes, and a scale of its own to multiply with."""
    PACKED_INVERSE = "packed_inverse"
    """The same, but its scale is to be divided by."""
    MASTERS = "masters"
    """[rows, cols] of floats, to be rounded to -1, 0, +1 times their mean magnitude."""
    DENSE = "dense"
    """[rows, cols] of floats that are ternary already: 0 or one magnitude in every group."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read one checkpoint, as its config says.

    Attributes:
        shape: `weight_group` and `has_ternary_head` are left for the tensors to tell where
            `form` is DENSE.
        form: how linear layers are stored.
        has_tied_head: whether the head is the embedding; None: it is if the file holds no head.
        may_hold_masters: where `form` is DENSE but the numbers are not ternary they are masters,
            with int8 activations per token.
    """

    shape: ModelShape
    form: WeightForm
    has_tied_head: bool | None
    may_hold_masters: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Names and rules shared by all checkpoints of a family.

    Attributes:
        architectures: as `config.json` names them.
        read_plan: checks a config and reads the sizes from it; raises `CheckpointError` or
            `UnsupportedModel`.
        linears: our name of each linear layer, to the checkpoint's under "model.layers.N.".
        norms: the same for norms, of which a plan's shape says which there are.
        chat_template: used where a checkpoint brings none; None: it is then a base model.
    """

    architectures: tuple[str, ...]
    read_plan: Callable[[ConfigFile], Plan]
    linears: Mapping[str, str]
    norms: Mapping[str, str]
    chat_template: str | None = None


LINEAR_NAMES: Final[dict[str, str]] = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
"""What every family so far calls its linear layers."""

NORM_NAMES: Final[dict[str, str]] = {
    "attention": "input_layernorm",
    "feed_forward": "post_attention_layernorm",
    "query": "self_attn.q_norm",
    "key": "self_attn.k_norm",
    **{f"input_{name}": f"{module}.rms_norm" for name, module in LINEAR_NAMES.items()},
}
"""What most families call their norms."""
