"""What a GGUF file says of its model, in the words of a `config.json`.

Each family then reads it as it reads a folder's, with the same checks and the same refusals. What
public files leave out or get wrong is put right here, and told.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any, Final

from tercet_engine.errors import UnsupportedModel
from tercet_engine.gguf import Metadata
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.rope import yarn_attention_factor

_BITNET: Final[dict[str, Any]] = {"quant_method": "bitnet", "linear_class": "autobitlinear"}
_LATER: Final = {
    "qwen35": "gated delta-net layers",
    "qwen3next": "gated delta-net layers",
    "qwen35moe": "mixture of experts",
    "qwen3moe": "mixture of experts",
    "maple": "mixture of experts",
}
"""Architectures of which ternary models exist, and what of them is not computed here."""
_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "attention.causal": (True,),
    "attention.scale": (0,),
    "attention.clamp_kqv": (0,),
    "attention.max_alibi_bias": (0,),
    "use_parallel_residual": (False,),
}
"""Keys that would change the arithmetic in a way nobody here computes, and the values that do not.

An architecture's own keys beside the multipliers below; others are read or do not matter.
"""
_MULTIPLIERS: Final = ("embedding_scale", "residual_scale", "logit_scale")
"""Of MiniCPM; in another architecture they are not known to mean the same."""

Value = Callable[[str], Any]
"""The value of one of the architecture's own keys; nothing if it is not there."""


@dataclass(frozen=True, slots=True)
class GgufFamily:
    """What an architecture's name in a GGUF file stands for.

    Attributes:
        config: the keys of a `config.json` that follow from it.
        defines_activations: it alone says whether they are quantised.
        has_paired_rows: rows of queries and keys lie in pairs, as converters of it write them.
        overrides: what public files leave out and is filled in, in words.
    """

    config: dict[str, Any]
    defines_activations: bool = False
    has_paired_rows: bool = False
    overrides: tuple[str, ...] = ()


_RELU2: Final = GgufFamily(
    {
        "architectures": ["BitNetForCausalLM"],
        "hidden_act": "relu2",
        "quantization_config": _BITNET,
        "tie_word_embeddings": True,
    },
    defines_activations=True,
    overrides=("activation: squared ReLU, which the file does not name",),
)
_FAMILIES: Final[dict[str, GgufFamily]] = {
    "bitnet-b1.58": _RELU2,
    "bitnet-25": _RELU2,
    "bitnet": GgufFamily(
        {
            "architectures": ["BitnetForCausalLM"],
            "hidden_act": "silu",
            "weight_bits": 1,
            "input_bits": 8,
            "tie_word_embeddings": True,
        },
        defines_activations=True,
    ),
    "llama": GgufFamily(
        {"architectures": ["LlamaForCausalLM"], "hidden_act": "silu"}, has_paired_rows=True
    ),
    "qwen3": GgufFamily({"architectures": ["Qwen3ForCausalLM"], "hidden_act": "silu"}),
    "minicpm": GgufFamily(
        {"architectures": ["MiniCPMForCausalLM"], "hidden_act": "silu"}, has_paired_rows=True
    ),
}


def find_gguf_family(metadata: Metadata) -> GgufFamily:
    """Find what a file's architecture stands for.

    Raises:
        UnsupportedModel: it is not known, or known not to be supported; the message says why.
    """
    rotated = sorted(key for key in metadata.values if key.startswith("prism.hadamard"))
    if rotated:
        message = (
            f"{metadata.name}: {rotated[0]} says that the weights lie in a Hadamard-rotated basis, "
            "in which activations would have to be rotated too; supported are unrotated files"
        )
        raise UnsupportedModel(message)
    name = metadata.architecture
    if (family := _FAMILIES.get(name)) is not None:
        return family
    why = f": {_LATER[name]} are not supported yet" if name in _LATER else ""
    message = (
        f"{metadata.name}: general.architecture is {name!r}{why}; supported: {', '.join(_FAMILIES)}"
    )
    raise UnsupportedModel(message)


def config_of(
    metadata: Metadata,
    family: GgufFamily,
    *,
    vocab_size: int,
    quantises_activations: bool,
    rope_factors: dict[str, list[float]],
    tensor_names: Container[str],
) -> ConfigFile:
    """Put the file's keys into the words of a `config.json`.

    Args:
        metadata: the file's keys.
        family: what its architecture stands for.
        vocab_size: rows of its embedding.
        quantises_activations: where the architecture leaves it open, whether the type of the
            weights stands for int8 activations.
        rope_factors: factors of the frequencies that the file holds as tensors: "short" and
            "long", or "all".
        tensor_names: of all tensors, which alone tell of biases.

    Raises:
        UnsupportedModel: a key changes the arithmetic in a way that is not computed here.
        CheckpointError: a value is missing, of another kind, or out of its range.
    """
    architecture = metadata.architecture

    def value(key: str) -> Any:
        found = metadata.values.get(f"{architecture}.{key}")
        if found is not None and not isinstance(found, (bool, int, float, str)):
            raise metadata.error(f"{architecture}.{key}", "one value for all layers")
        return found

    _refuse_what_is_not_neutral(metadata, value)

    hidden_size, num_heads = value("embedding_length"), value("attention.head_count")
    config = family.config | {
        "hidden_size": hidden_size,
        "intermediate_size": value("feed_forward_length"),
        "num_hidden_layers": value("block_count"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": value("attention.head_count_kv"),
        "head_dim": _head_dim(value, hidden_size, num_heads),
        "vocab_size": vocab_size,
        "max_position_embeddings": value("context_length"),
        "rms_norm_eps": value("attention.layer_norm_rms_epsilon"),
        "rope_theta": value("rope.freq_base"),
        "rope_scaling": _rope_scaling(metadata, value, rope_factors),
        "sliding_window": value("attention.sliding_window"),
        "num_experts": value("expert_count"),
        "attn_logit_softcapping": value("attn_logit_softcapping"),
        "final_logit_softcapping": value("final_logit_softcapping"),
        "attention_bias": "blk.0.attn_q.bias" in tensor_names,
        "mlp_bias": "blk.0.ffn_up.bias" in tensor_names,
    }
    if quantises_activations and not family.defines_activations:
        config["quantization_config"] = _BITNET
    if (activation := value("hidden_activation") or value("hidden_act")) is not None:
        config["hidden_act"] = activation
    if architecture == "minicpm":
        config |= _minicpm(metadata)
    told = {key: item for key, item in config.items() if item is not None}
    return ConfigFile(told, metadata.name)


def _refuse_what_is_not_neutral(metadata: Metadata, value: Value) -> None:
    architecture = metadata.architecture
    refused = dict(_NEUTRAL)
    if architecture != "minicpm":
        refused |= dict.fromkeys(_MULTIPLIERS, (0, 1))
    for key, neutral in refused.items():
        found = value(key)
        if found is not None and found not in neutral:
            message = (
                f"{metadata.name}: {architecture}.{key} is {found!r:.80}, which is not computed"
            )
            raise UnsupportedModel(message)
    sizes = {value(f"attention.{name}_length") for name in ("key", "value")}
    sizes = (sizes | {value("rope.dimension_count")}) - {None}
    if len(sizes) > 1:
        message = (
            f"{metadata.name}: heads of keys, heads of values, and what of them turns have several "
            f"sizes, {sorted(map(str, sizes))}; supported is one size"
        )
        raise UnsupportedModel(message)


def _head_dim(value: Value, hidden_size: Any, num_heads: Any) -> Any:
    for key in ("attention.key_length", "rope.dimension_count"):
        if value(key) is not None:
            return value(key)
    is_known = isinstance(hidden_size, int) and isinstance(num_heads, int) and num_heads > 0
    return hidden_size // num_heads if is_known else None


def _minicpm(metadata: Metadata) -> dict[str, float]:
    """The multipliers as a config tells them; files hold what they come to."""
    depth = metadata.number("minicpm.residual_scale", 1e-6, 1e6)
    num_layers = metadata.integer("minicpm.block_count", 1, 1024)
    hidden_size = metadata.integer("minicpm.embedding_length", 1, 1 << 17)
    return {
        "scale_emb": metadata.number("minicpm.embedding_scale", 1e-6, 1e6),
        "scale_depth": depth * num_layers**0.5,
        "dim_model_base": hidden_size / metadata.number("minicpm.logit_scale", 1e-6, 1e6),
    }


def _rope_scaling(
    metadata: Metadata, value: Value, factors: dict[str, list[float]]
) -> dict[str, Any] | None:
    kind = value("rope.scaling.type")
    factor = value("rope.scaling.factor") or value("rope.scale_linear")  # the older name
    if kind is None and factor not in (None, 0, 1) and "long" not in factors:
        kind = "linear"  # what a factor alone means
    if "all" in factors:
        if kind not in (None, "none"):
            message = (
                f"{metadata.name}: positions are scaled twice, by rope_freqs.weight and by "
                f"rope.scaling.type {kind!r:.80}; supported is one of them"
            )
            raise UnsupportedModel(message)
        return {
            "rope_type": "longrope",
            "short_factor": factors["all"],
            "long_factor": factors["all"],
            "factor": 1.0,
            "attention_factor": 1.0,
        }
    scaling = {
        "factor": factor,
        "original_max_position_embeddings": value("rope.scaling.original_context_length"),
        "attention_factor": value("rope.scaling.attn_factor"),
    }
    match kind:
        case None | "none":
            if "long" not in factors:
                return None
            kind = "longrope"
        case "linear":
            scaling = {"factor": factor}
        case "yarn":
            scaling["attention_factor"] = _yarn_attention_factor(metadata)
        case "longrope":
            pass
        case _:
            message = (
                f"{metadata.name}: rope.scaling.type is {kind!r:.80}; supported: linear, yarn, "
                "longrope"
            )
            raise UnsupportedModel(message)
    if kind == "longrope":
        scaling |= {"short_factor": factors.get("short"), "long_factor": factors.get("long")}
    return {"rope_type": kind} | {k: item for k, item in scaling.items() if item is not None}


def _yarn_attention_factor(metadata: Metadata) -> float | None:
    """A file's factor comes on top of YaRN's own; a config's is instead of it."""
    scaling = f"{metadata.architecture}.rope.scaling"
    if f"{scaling}.attn_factor" not in metadata.values:
        return None
    factor = metadata.number(f"{scaling}.factor", 1, 1e6)
    return metadata.number(f"{scaling}.attn_factor", 1e-6, 1e6) * yarn_attention_factor(factor)
