"""The first open reproduction of BitNet b1.58, 1bitLLM/bitnet_b1_58-*: floating-point masters.

Like BitNet in all but three things: the gate is SiLU, the norms have other names, and no
`quantization_config` says what the weights are. `weight_bits` and `input_bits` do: 1 means -1, 0
and +1 times the mean magnitude, 8 means int8 activations per token.
"""

from dataclasses import replace
from typing import Final

from tercet_engine.errors import UnsupportedModel
from tercet_engine.families.decoder_config import Defaults, check_rows, has_tied_head, read_shape
from tercet_engine.families.family import LINEAR_NAMES, NORM_NAMES, Family, Plan, WeightForm
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import Activation

_DEFAULTS: Final = Defaults(max_context=2048, rms_norm_eps=1e-6, rope_theta=10_000.0)
_BITS: Final = {"weight_bits": 1, "input_bits": 8}


def read_plan(config: ConfigFile) -> Plan:
    """Read the sizes; the form is always the same."""
    shape = read_shape(config, _DEFAULTS, activations=(Activation.SILU,))
    check_rows(config, shape)
    for key, bits in _BITS.items():
        if config.integer(key, 1, 64) != bits:
            message = f"{config.name}: {key} is {config.values[key]}; supported: {bits}"
            raise UnsupportedModel(message)
    if config.section("quantization_config").values:
        message = f"{config.name}: quantization_config is not known in this family; supported: null"
        raise UnsupportedModel(message)
    return Plan(
        shape=replace(shape, has_sub_norms=True),
        form=WeightForm.MASTERS,
        has_tied_head=has_tied_head(config, default=False),
    )


FAMILY: Final = Family(
    architectures=("BitnetForCausalLM",),
    read_plan=read_plan,
    linears=LINEAR_NAMES,
    norms=NORM_NAMES
    | {"attention_sub": "self_attn.inner_attn_ln", "feed_forward_sub": "mlp.ffn_layernorm"},
)
