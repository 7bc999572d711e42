"""BitNet b1.58 as in microsoft/bitnet-b1.58-2B-4T and its bf16 masters.

Ternary weights with one scale per matrix, int8 activations per token, squared ReLU, a norm before
each output projection. `linear_class` decides what `weight_scale` means: with "autobitlinear" one
multiplies by it, with "bitlinear" one divides. Guessing wrong would give fluent nonsense, so only
the former is taken.
"""

from typing import Any, Final

from tercet_engine.chat_template import BITNET_TEMPLATE
from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.families.family import LINEAR_NAMES, NORM_NAMES, Family, Plan, WeightForm
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import ModelShape
from tercet_engine.rope import Rope

_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "rope_scaling": (),
    "sliding_window": (),
    "partial_rotary_factor": (1, 1.0),
    "final_logit_softcapping": (),
    "attn_logit_softcapping": (),
    "num_experts": (0,),
    "num_local_experts": (0,),
}
"""Keys that would change the arithmetic, and the values (beside null) with which they do not."""


def read_plan(config: ConfigFile) -> Plan:
    """Read the sizes and the form of the weights; refuse what this family does not have."""
    for key, neutral in _NEUTRAL.items():
        value = config.values.get(key)
        if value is not None and value not in neutral:
            raise _unsupported(config, key, "no such thing")
    if config.text("hidden_act") != "relu2":
        raise _unsupported(config, "hidden_act", '"relu2"')
    return Plan(
        shape=_shape(config),
        form=_form(config.section("quantization_config")),
        has_tied_head=config.flag("tie_word_embeddings", default=False),
    )


def _shape(config: ConfigFile) -> ModelShape:
    hidden_size = config.integer("hidden_size", 4, 1 << 17)
    num_heads = config.integer("num_attention_heads", 1, 1024)
    num_kv_heads = config.integer("num_key_value_heads", 1, num_heads, default=num_heads)
    if num_heads % num_kv_heads:
        raise config.error("num_key_value_heads", f"a divisor of num_attention_heads, {num_heads}")
    if "head_dim" not in config.values and hidden_size % num_heads:
        raise config.error("num_attention_heads", f"a divisor of hidden_size, {hidden_size}")
    shape = ModelShape(
        num_layers=config.integer("num_hidden_layers", 1, 1024),
        hidden_size=hidden_size,
        intermediate_size=config.integer("intermediate_size", 4, 1 << 19),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=config.integer("head_dim", 2, 1024, default=hidden_size // num_heads),
        vocab_size=config.integer("vocab_size", 1, 1 << 21),
        max_context=config.integer("max_position_embeddings", 2, 1 << 20, default=2048),
        rms_norm_eps=config.number("rms_norm_eps", 0, 1, default=1e-5),
        rope=Rope(theta=_rope_theta(config)),
    )
    for name, (rows, _) in shape.linear_shapes.items():
        if rows % 4:
            message = f"{config.name}: the {name} matrix has {rows} rows; a multiple of 4 is needed"
            raise CheckpointError(message)
    return shape


def _rope_theta(config: ConfigFile) -> float:
    """Accept both spellings: `rope_theta`, or `rope_parameters` with it and a type."""
    parameters = config.section("rope_parameters")
    if parameters.text("rope_type", default="default") != "default":
        raise _unsupported(parameters, "rope_type", '"default"')
    unknown = set(parameters.values) - {"rope_type", "rope_theta"}
    if unknown:
        raise _unsupported(parameters, min(unknown), "no such thing")
    default = config.number("rope_theta", 1, 1e12, default=500_000.0)
    return parameters.number("rope_theta", 1, 1e12, default=default)


def _form(quantization: ConfigFile) -> WeightForm:
    if quantization.text("quant_method") != "bitnet":
        raise _unsupported(quantization, "quant_method", '"bitnet"')
    if quantization.text("linear_class", default="bitlinear") != "autobitlinear":
        raise _unsupported(quantization, "linear_class", '"autobitlinear"')
    if quantization.flag("use_rms_norm", default=False):
        raise _unsupported(quantization, "use_rms_norm", "false")
    if quantization.values.get("modules_to_not_convert") not in (None, [], ["lm_head"]):
        raise _unsupported(quantization, "modules_to_not_convert", "null")
    match quantization.text("quantization_mode", default="offline"):
        case "offline":
            return WeightForm.PACKED
        case "online":
            return WeightForm.MASTERS
    raise _unsupported(quantization, "quantization_mode", '"offline" and "online"')


def _unsupported(config: ConfigFile, key: str, supported: str) -> UnsupportedModel:
    found = config.values.get(key, "missing")
    return UnsupportedModel(
        f"{config.name}: {key} is {found!r}; supported for BitNet models: {supported}"
    )


FAMILY: Final = Family(
    architectures=("BitNetForCausalLM",),
    read_plan=read_plan,
    linears=LINEAR_NAMES,
    norms=NORM_NAMES
    | {"attention_sub": "self_attn.attn_sub_norm", "feed_forward_sub": "mlp.ffn_sub_norm"},
    chat_template=BITNET_TEMPLATE,
)
