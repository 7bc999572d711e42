"""Qwen3 with ternary matrices, as in Ternary-Bonsai: a norm over each head's query and key.

Published as plain float16 whose values are ternary in groups of 128 columns, embedding and head
included. Activations stay in floating point. Attention may be wider or narrower than the hidden
size: `head_dim` is a number of its own.
"""

from dataclasses import replace
from typing import Final

from tercet_engine.families.decoder_config import Defaults, check_rows, has_tied_head, read_shape
from tercet_engine.families.family import LINEAR_NAMES, NORM_NAMES, Family, Plan, WeightForm
from tercet_engine.families.quantization import read_quantization
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import Activation

_DEFAULTS: Final = Defaults(
    max_context=32_768, rms_norm_eps=1e-6, rope_theta=10_000.0, head_dim=128
)


def read_plan(config: ConfigFile) -> Plan:
    """Read the sizes and the form of the weights."""
    shape = read_shape(config, _DEFAULTS, activations=(Activation.SILU,))
    quantization = read_quantization(config, has_biases=bool(shape.biases))
    if quantization.form is not WeightForm.DENSE:
        check_rows(config, shape)
    return Plan(
        shape=replace(
            shape,
            has_head_norms=True,
            activation_group=quantization.activation_group,
            linear_norm_eps=quantization.linear_norm_eps,
        ),
        form=quantization.form,
        has_tied_head=has_tied_head(config, default=None),
    )


FAMILY: Final = Family(
    architectures=("Qwen3ForCausalLM",),
    read_plan=read_plan,
    linears=LINEAR_NAMES,
    norms=NORM_NAMES,
)
