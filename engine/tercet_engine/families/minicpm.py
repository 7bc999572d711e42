"""MiniCPM 4 with ternary matrices, as in BitCPM4: three multipliers in a decoder like Llama's.

Embeddings are multiplied by `scale_emb`, each branch by `scale_depth` over the root of the number
of layers before it is added, and the last hidden state is divided by `hidden_size` over
`dim_model_base` before the head. The weights are plain numbers, ternary in groups.
"""

import math
from dataclasses import replace
from typing import Final

from tercet_engine.families.decoder_config import Defaults, check_rows, has_tied_head, read_shape
from tercet_engine.families.family import LINEAR_NAMES, NORM_NAMES, Family, Plan, WeightForm
from tercet_engine.families.quantization import read_quantization
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import Activation

_DEFAULTS: Final = Defaults(max_context=2048, rms_norm_eps=1e-6, rope_theta=10_000.0)


def read_plan(config: ConfigFile) -> Plan:
    """Read the sizes, the multipliers and the form of the weights."""
    shape = read_shape(config, _DEFAULTS, activations=(Activation.SILU,))
    quantization = read_quantization(config, has_biases=bool(shape.biases))
    if quantization.form is not WeightForm.DENSE:
        check_rows(config, shape)
    # These have no defaults: configs tell them, and classes disagree on what is meant without.
    base = config.number("dim_model_base", 1, 1 << 17)
    depth = config.number("scale_depth", 1e-6, 1e6)
    return Plan(
        shape=replace(
            shape,
            embedding_scale=config.number("scale_emb", 1e-6, 1e6),
            residual_scale=depth / math.sqrt(shape.num_layers),
            logit_scale=base / shape.hidden_size,
            activation_group=quantization.activation_group,
            linear_norm_eps=quantization.linear_norm_eps,
        ),
        form=quantization.form,
        has_tied_head=has_tied_head(config, default=True),
    )


FAMILY: Final = Family(
    architectures=("MiniCPMForCausalLM", "MiniCPM4ForCausalLM"),
    read_plan=read_plan,
    linears=LINEAR_NAMES,
    norms=NORM_NAMES,
)
