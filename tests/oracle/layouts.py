"""Writes a tiny random checkpoint of every family and form that can be read.

    python -m tests.oracle.layouts FOLDER [NAME ...]

Between them they have everything that families differ in: packed weights whose scale is multiplied
or divided by, masters, plain ternary numbers with scales for blocks of rows or groups of columns,
norms of heads and of single matrices, biases, multipliers, tied and ternary heads, and every rule
for positions. Sizes are as small as that allows.
"""

import json
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.oracle.make_tiny import LINEARS, Tensors, TinyCheckpoint, bfloat16, linear, pack

Array = npt.NDArray[Any]
VOCAB_SIZE = 320


@dataclass(frozen=True)
class Layout:
    """One kind of checkpoint.

    Attributes:
        architecture: as `config.json` names it.
        form: packed, inverse (packed, to be divided by its scale), masters, or dense.
        config: what its config says beside the sizes.
        sizes: those that differ from the usual ones.
        norms: of a layer beside the two that all have, to their sizes.
        scale_group: dense: columns that share a scale; 0: half of the rows do.
        store: dense: how numbers are stored.
        is_tied: the head is the embedding.
        has_ternary_tables: embedding and head are ternary too.
    """

    architecture: str
    form: str
    config: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    norms: dict[str, str] = field(default_factory=dict)
    scale_group: int = 0
    store: Callable[[Array], tuple[str, Array]] = bfloat16
    is_tied: bool = False
    has_ternary_tables: bool = False


def float16(values: Array) -> tuple[str, Array]:
    return "F16", values.astype(np.float16)


def float32(values: Array) -> tuple[str, Array]:
    return "F32", values.astype(np.float32)


BITLINEAR = {"quant_method": "bitnet", "modules_to_not_convert": None}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0 + 0.01 * pair for pair in range(16)],
    "long_factor": [1.0 + 0.5 * pair for pair in range(16)],
    "original_max_position_embeddings": 8,
}
NARROW = {"hidden": 128, "attention": 128, "keys": 64, "intermediate": 256}
WIDE = NARROW | {"hidden": 256, "intermediate": 128}

LAYOUTS = {
    "llama_bitlinear": Layout(
        "LlamaForCausalLM",
        "inverse",
        {"rope_theta": 1_000_042.0, "quantization_config": BITLINEAR},
    ),
    "llama_bitlinear_rms": Layout(
        "LlamaForCausalLM",
        "inverse",
        {
            "rope_theta": 500_000.0,
            "rope_scaling": LLAMA3,
            "attention_bias": True,
            "mlp_bias": True,
            "quantization_config": BITLINEAR | {"use_rms_norm": True, "rms_norm_eps": 1e-6},
        },
        norms={f"{name}.rms_norm": cols for name, (_, cols) in LINEARS.items()},
    ),
    "llama_online": Layout(
        "LlamaForCausalLM",
        "masters",
        {
            "attention_bias": True,
            "rope_scaling": {"type": "linear", "factor": 2.0},
            "quantization_config": {
                "quant_method": "bitnet",
                "linear_class": "autobitlinear",
                "quantization_mode": "online",
            },
        },
        is_tied=True,
    ),
    "llama_masters": Layout("LlamaForCausalLM", "masters", {"is_bitnet_config": True}),
    "llama_dense": Layout(
        "LlamaForCausalLM",
        "dense",
        sizes=NARROW,
        store=float16,
    ),
    "bitnet_legacy": Layout(
        "BitnetForCausalLM",
        "masters",
        {"weight_bits": 1, "input_bits": 8},
        norms={"self_attn.inner_attn_ln": "attention", "mlp.ffn_layernorm": "intermediate"},
        is_tied=True,
    ),
    "qwen3_dense": Layout(
        "Qwen3ForCausalLM",
        "dense",
        {
            "head_dim": 32,
            "rope_theta": 1_000_000.0,
            "rope_scaling": YARN,
            "use_sliding_window": False,
            "sliding_window": None,
        },
        sizes=WIDE,
        norms={"self_attn.q_norm": "head", "self_attn.k_norm": "head"},
        scale_group=128,
        store=float16,
        has_ternary_tables=True,
    ),
    "minicpm_dense": Layout(
        "MiniCPMForCausalLM",
        "dense",
        {
            "scale_emb": 12,
            "scale_depth": 1.4,
            "dim_model_base": 64,
            "head_dim": 32,
            "rope_scaling": LONGROPE,
        },
        sizes=NARROW,
        scale_group=64,
        is_tied=True,
    ),
}


def make(name: str, seed: int = 1) -> TinyCheckpoint:
    """Make one of them."""
    layout = LAYOUTS[name]
    random = np.random.default_rng([seed, *name.encode()])
    sizes = {"hidden": 64, "attention": 64, "keys": 32, "intermediate": 192} | layout.sizes
    sizes["head"] = sizes["attention"] // 4
    tensors: Tensors = {}
    for table in ("model.embed_tokens", "lm_head"):
        if table == "lm_head" and layout.is_tied:
            continue
        spread = 1.0 if table == "model.embed_tokens" else 0.1
        values = random.standard_normal((VOCAB_SIZE, sizes["hidden"])) * spread
        values = ternary(values, layout.scale_group) if layout.has_ternary_tables else values
        tensors[f"{table}.weight"] = layout.store(values)
    gain = (0.5, 1.5) if not layout.is_tied else (1 / sizes["hidden"] ** 0.5,) * 2
    tensors["model.norm.weight"] = layout.store(random.uniform(*gain, sizes["hidden"]))
    norms = {"input_layernorm": "hidden", "post_attention_layernorm": "hidden"} | layout.norms
    for prefix in ("model.layers.0.", "model.layers.1."):
        for norm, size in norms.items():
            tensors[f"{prefix}{norm}.weight"] = layout.store(random.uniform(0.5, 1.5, sizes[size]))
        for module, (rows, cols) in LINEARS.items():
            masters = random.standard_normal((sizes[rows], sizes[cols])) / sizes[cols] ** 0.5
            tensors |= _linear(f"{prefix}{module}.weight", masters, layout)
            kind = "attention_bias" if "attn" in module else "mlp_bias"
            if layout.config.get(kind):
                bias = random.standard_normal(sizes[rows]) * 0.1
                tensors[f"{prefix}{module}.bias"] = layout.store(bias)
    return TinyCheckpoint(_config(layout, sizes), tensors)


def read_config(folder: Path) -> dict[str, Any]:
    """A checkpoint's config."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return config


def read_stored(path: Path) -> Tensors:
    """A file's tensors as they lie in it, to be changed and written again."""
    content = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    types = {"U8": np.uint8, "BF16": np.uint16, "F16": np.float16, "F32": np.float32}
    tensors: Tensors = {}
    for name, entry in header.items():
        start, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        values = np.frombuffer(content[start:end], types[entry["dtype"]])
        tensors[name] = (entry["dtype"], values.reshape(entry["shape"]))
    return tensors


def ternary(masters: Array, group: int) -> Array:
    """Round to -s, 0 and +s: a scale for each row's groups of columns, or for half of the rows."""
    blocks = masters.reshape(2, -1) if not group else masters.reshape(-1, group)
    scales = np.abs(blocks).mean(axis=1, keepdims=True)
    rounded: Array = (np.clip(np.rint(blocks / scales), -1, 1) * scales).reshape(masters.shape)
    return rounded


def _linear(name: str, masters: Array, layout: Layout) -> Tensors:
    if layout.form == "dense":
        return {name: layout.store(ternary(masters, layout.scale_group))}
    if layout.form == "masters":
        return linear(name, layout.store(masters), "masters")
    scale = np.abs(masters).mean()
    rounded = np.clip(np.rint(masters / scale), -1, 1)
    return {name: ("U8", pack(rounded)), f"{name}_scale": bfloat16(np.array([1 / scale]))}


def _config(layout: Layout, sizes: dict[str, int]) -> dict[str, Any]:
    return {
        "architectures": [layout.architecture],
        "model_type": layout.architecture.removesuffix("ForCausalLM").lower(),
        "hidden_act": "silu",
        "hidden_size": sizes["hidden"],
        "intermediate_size": sizes["intermediate"],
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": VOCAB_SIZE,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": layout.is_tied,
        "bos_token_id": 1,
        "eos_token_id": 2,
        **layout.config,
    }


if __name__ == "__main__":
    for chosen in sys.argv[2:] or LAYOUTS:
        make(chosen).write(Path(sys.argv[1]) / chosen)
