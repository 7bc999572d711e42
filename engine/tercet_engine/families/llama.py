"""Llama with ternary matrices: Falcon3-1.58bit, Falcon-E, Llama3-8B-1.58, TriLM.

Three kinds share the architecture's name. With a `quantization_config` weights are packed, or
masters. Without one they are plain numbers which should be ternary already (TriLM, the "bfloat16"
revisions of Falcon-E); then activations stay in floating point. Falcon-E's "prequantized" revisions
have none either, but hold masters, which are rounded here with int8 activations as they were
trained; their config's `is_bitnet_config` and the numbers themselves tell them apart.
"""

from dataclasses import replace
from typing import Final

from tercet_engine.families.decoder_config import Defaults, check_rows, has_tied_head, read_shape
from tercet_engine.families.family import LINEAR_NAMES, NORM_NAMES, Family, Plan, WeightForm
from tercet_engine.families.quantization import read_quantization
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import Activation

_DEFAULTS: Final = Defaults(max_context=2048, rms_norm_eps=1e-6, rope_theta=10_000.0)


def read_plan(config: ConfigFile) -> Plan:
    """Read the sizes and the form of the weights."""
    shape = read_shape(config, _DEFAULTS, activations=(Activation.SILU,))
    quantization = read_quantization(config, has_biases=bool(shape.biases))
    is_dense = quantization.form is WeightForm.DENSE
    may_hold_masters = is_dense and config.flag("is_bitnet_config", default=False)
    if may_hold_masters or not is_dense:
        check_rows(config, shape)
    return Plan(
        shape=replace(
            shape,
            activation_group=quantization.activation_group,
            linear_norm_eps=quantization.linear_norm_eps,
        ),
        form=quantization.form,
        has_tied_head=has_tied_head(config, default=None),
        may_hold_masters=may_hold_masters,
    )


FAMILY: Final = Family(
    architectures=("LlamaForCausalLM",),
    read_plan=read_plan,
    linears=LINEAR_NAMES,
    norms=NORM_NAMES,
)
