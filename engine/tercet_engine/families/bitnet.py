"""BitNet b1.58 as in microsoft/bitnet-b1.58-2B-4T and its bf16 masters.

Ternary weights with one scale per matrix, int8 activations per token, squared ReLU, a norm before
each output projection.
"""

from dataclasses import replace
from typing import Final

from tercet_engine.chat_template import BITNET_TEMPLATE
from tercet_engine.errors import UnsupportedModel
from tercet_engine.families.decoder_config import Defaults, check_rows, has_tied_head, read_shape
from tercet_engine.families.family import LINEAR_NAMES, NORM_NAMES, Family, Plan, WeightForm
from tercet_engine.families.quantization import read_quantization
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import Activation

_DEFAULTS: Final = Defaults(max_context=2048, rms_norm_eps=1e-5, rope_theta=500_000.0)


def read_plan(config: ConfigFile) -> Plan:
    """Read the sizes and the form of the weights; refuse what this family does not have."""
    shape = read_shape(config, _DEFAULTS, activations=(Activation.RELU2,))
    check_rows(config, shape)
    quantization = read_quantization(config, has_biases=bool(shape.biases))
    if quantization.form is WeightForm.DENSE:
        message = f"{config.name}: quantization_config is missing; BitNet models have one"
        raise UnsupportedModel(message)
    return Plan(
        shape=replace(shape, has_sub_norms=True, linear_norm_eps=quantization.linear_norm_eps),
        form=quantization.form,
        has_tied_head=has_tied_head(config, default=False),
    )


FAMILY: Final = Family(
    architectures=("BitNetForCausalLM",),
    read_plan=read_plan,
    linears=LINEAR_NAMES,
    norms=NORM_NAMES
    | {"attention_sub": "self_attn.attn_sub_norm", "feed_forward_sub": "mlp.ffn_sub_norm"},
    chat_template=BITNET_TEMPLATE,
)
