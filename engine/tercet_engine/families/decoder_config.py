"""The part of a config that is the same for every decoder: sizes, positions, biases.

A key that would change the arithmetic in a way nobody here computes is refused by its name in plain
words. A config that leaves a key out means the default of its class, which differs by family.
"""

from dataclasses import dataclass
from typing import Any, Final

from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.families.rope_config import read_rope
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import MAX_SIZES, Activation, ModelShape

_NEUTRAL: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "num_experts": ("mixture of experts", (0,)),
    "num_local_experts": ("mixture of experts", (0,)),
    "n_routed_experts": ("mixture of experts", (0,)),
    "sliding_window": ("sliding-window attention", ()),
    "linear_num_value_heads": ("gated delta-net layers", (0,)),
    "sparse_config": ("sparse attention", ({},)),
    "kv_lora_rank": ("latent attention", (0,)),
    "partial_rotary_factor": ("heads that turn in part", (1, 1.0)),
    "final_logit_softcapping": ("capped logits", ()),
    "attn_logit_softcapping": ("capped attention", ()),
    "use_bidirectional_attention": ("attention to what follows", (False,)),
    "clip_qkv": ("clipped queries and keys", ()),
    "quantization": ("weights packed by MLX", ({},)),
}
"""Keys that change the arithmetic: what they mean, and the values (beside null) that do not."""

_LAYER_TYPES: Final = {
    "sliding_attention": "sliding-window attention",
    "chunked_attention": "attention in chunks",
    "linear_attention": "gated delta-net layers",
}
_ROTATIONS: Final = ("hadamard", "rotation", "rotated")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a family's configs may leave out."""

    max_context: int
    rms_norm_eps: float
    rope_theta: float
    head_dim: int | None = None


def read_shape(
    config: ConfigFile, defaults: Defaults, *, activations: tuple[Activation, ...]
) -> ModelShape:
    """Read a decoder without sub-norms; a family adds what is its own with `replace`.

    Raises:
        CheckpointError: a value is missing or out of its range.
        UnsupportedModel: the config asks for something that is not computed here.
    """
    _refuse_what_is_not_neutral(config)
    hidden_size = config.integer("hidden_size", 4, MAX_SIZES["hidden_size"])
    num_heads = config.integer("num_attention_heads", 1, MAX_SIZES["num_heads"])
    num_kv_heads = config.integer("num_key_value_heads", 1, num_heads, default=num_heads)
    if num_heads % num_kv_heads:
        raise config.error("num_key_value_heads", f"a divisor of num_attention_heads, {num_heads}")
    head_dim = _head_dim(config, defaults.head_dim, hidden_size, num_heads)
    max_context = config.integer(
        "max_position_embeddings", 2, MAX_SIZES["max_context"], default=defaults.max_context
    )
    return ModelShape(
        num_layers=config.integer("num_hidden_layers", 1, MAX_SIZES["num_layers"]),
        hidden_size=hidden_size,
        intermediate_size=config.integer("intermediate_size", 4, MAX_SIZES["intermediate_size"]),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        vocab_size=config.integer("vocab_size", 1, MAX_SIZES["vocab_size"]),
        max_context=max_context,
        rms_norm_eps=config.number("rms_norm_eps", 0, 1, default=defaults.rms_norm_eps),
        rope=read_rope(
            config, theta=defaults.rope_theta, head_dim=head_dim, max_context=max_context
        ),
        activation=_activation(config, activations),
        has_sub_norms=False,
        biases=_biases(config),
    )


def check_rows(config: ConfigFile, shape: ModelShape) -> None:
    """Refuse matrices that cannot be packed four rows to a byte."""
    for name, (rows, _) in shape.linear_shapes.items():
        if rows % 4:
            message = f"{config.name}: the {name} matrix has {rows} rows; a multiple of 4 is needed"
            raise CheckpointError(message)


def has_tied_head(config: ConfigFile, *, default: bool | None) -> bool | None:
    """Whether the head is the embedding; None: nothing says so, the tensors tell."""
    if config.values.get("tie_word_embeddings") is None:
        return default
    return config.flag("tie_word_embeddings", default=False)


def _head_dim(config: ConfigFile, default: int | None, hidden_size: int, num_heads: int) -> int:
    if config.values.get("head_dim") is None and default is None and hidden_size % num_heads:
        raise config.error("num_attention_heads", f"a divisor of hidden_size, {hidden_size}")
    head_dim = config.integer(
        "head_dim", 2, MAX_SIZES["head_dim"], default=default or hidden_size // num_heads
    )
    if head_dim % 2:
        raise config.error("head_dim", f"even, as dimensions turn in pairs, and it is {head_dim}")
    return head_dim


def _activation(config: ConfigFile, supported: tuple[Activation, ...]) -> Activation:
    key = "hidden_act"
    found = config.text(key, default=config.text("hidden_activation", default="nothing"))
    for activation in supported:
        if found in (activation.value, _OTHER_NAMES[activation]):
            return activation
    names = " and ".join(f'"{activation.value}"' for activation in supported)
    message = f"{config.name}: {key} is {found!r}; supported in this family: {names}"
    raise UnsupportedModel(message)


_OTHER_NAMES: Final = {Activation.SILU: "swish", Activation.RELU2: "relu_squared"}


def _biases(config: ConfigFile) -> tuple[str, ...]:
    of_attention = config.flag("attention_bias", default=False)
    of_mlp = config.flag("mlp_bias", default=False)
    attention = ("q", "k", "v", "o") if of_attention else ()
    return (*attention, *(("gate", "up", "down") if of_mlp else ()))


def _refuse_what_is_not_neutral(config: ConfigFile) -> None:
    values = dict(config.values)
    if values.get("use_sliding_window") is False:
        values.pop("sliding_window", None)  # Qwen writes a size even where it is not used
    elif values.get("use_sliding_window"):
        raise _unsupported(config, "use_sliding_window", "sliding-window attention")
    for key, (meaning, neutral) in _NEUTRAL.items():
        value = values.get(key)
        if value is not None and value not in neutral:
            raise _unsupported(config, key, meaning)
    kinds = values.get("layer_types") or []
    if not isinstance(kinds, list):
        raise config.error("layer_types", "a list")
    for kind in kinds:
        if kind != "full_attention":
            raise _unsupported(config, "layer_types", _LAYER_TYPES.get(str(kind), str(kind)), kind)
    for key, value in values.items():
        if value and any(word in key.lower() for word in _ROTATIONS):
            raise _unsupported(config, key, "weights in a rotated (Hadamard) basis")


def _unsupported(
    config: ConfigFile, key: str, meaning: str, found: object = None
) -> UnsupportedModel:
    told = config.values.get(key) if found is None else found
    return UnsupportedModel(
        f"{config.name}: {key} is {str(told)[:80]!r}: {meaning}; supported are plain decoders, in "
        "which every token attends to all before it and every layer has one feed-forward network"
    )
