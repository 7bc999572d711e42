"""Writes tiny random checkpoints in the layout of bitnet-b1.58-2B-4T.

    python -m tests.oracle.make_tiny FOLDER [packed|masters] [seed]

The tests make theirs in memory with `random_checkpoint`, damage it at will, and write it.
"""

import json
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Tensors = dict[str, tuple[str, npt.NDArray[Any]]]
"""Name to the type's name in the file and the values as they lie in it (bfloat16: uint16 bits)."""

LINEARS = {
    "self_attn.q_proj": ("attention", "hidden"),
    "self_attn.k_proj": ("keys", "hidden"),
    "self_attn.v_proj": ("keys", "hidden"),
    "self_attn.o_proj": ("hidden", "attention"),
    "mlp.gate_proj": ("intermediate", "hidden"),
    "mlp.up_proj": ("intermediate", "hidden"),
    "mlp.down_proj": ("hidden", "intermediate"),
}
NORMS = {
    "input_layernorm": "hidden",
    "self_attn.attn_sub_norm": "attention",
    "post_attention_layernorm": "hidden",
    "mlp.ffn_sub_norm": "intermediate",
}


@dataclass
class TinyCheckpoint:
    """A checkpoint in memory."""

    config: dict[str, Any]
    tensors: Tensors = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1))
        save_tensors(folder / "model.safetensors", self.tensors)
        return folder

    def write_shards(self, folder: Path, num_shards: int) -> Path:
        """Deal the tensors out to several files and write the index that finds them."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1))
        weight_map = {}
        for shard in range(num_shards):
            name = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
            part = dict(list(self.tensors.items())[shard::num_shards])
            weight_map |= dict.fromkeys(part, name)
            save_tensors(folder / name, part)
        index = {"metadata": {}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return folder


def random_checkpoint(
    form: str = "packed",
    *,
    seed: int = 0,
    num_layers: int = 2,
    hidden: int = 64,
    intermediate: int = 192,
    num_heads: int = 4,
    num_kv_heads: int = 2,
    vocab_size: int = 320,
    max_context: int = 512,
) -> TinyCheckpoint:
    """Make a model; both forms of one seed come from the same bfloat16 masters."""
    random = np.random.default_rng(seed)
    head_dim = hidden // num_heads
    sizes = {
        "hidden": hidden,
        "intermediate": intermediate,
        "attention": hidden,
        "keys": num_kv_heads * head_dim,
    }
    config = {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "hidden_act": "relu2",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": num_layers,
        "num_attention_heads": num_heads,
        "num_key_value_heads": num_kv_heads,
        "vocab_size": vocab_size,
        "max_position_embeddings": max_context,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline" if form == "packed" else "online",
        },
    }
    tensors: Tensors = {
        "model.embed_tokens.weight": bfloat16(random.standard_normal((vocab_size, hidden))),
        # Logits of a few units, so that drawing from them is a matter of chance.
        "model.norm.weight": bfloat16(random.uniform(1, 3, hidden) / np.sqrt(hidden)),
    }
    for layer in range(num_layers):
        prefix = f"model.layers.{layer}."
        for name, size in NORMS.items():
            # Small gains before attention and in sub-norms, as in the real model.
            gains = (0.5, 1.5) if name == "post_attention_layernorm" else (0.05, 0.15)
            tensors[f"{prefix}{name}.weight"] = bfloat16(random.uniform(*gains, sizes[size]))
        for name, (rows, cols) in LINEARS.items():
            masters = bfloat16(random.standard_normal((sizes[rows], sizes[cols])) * 1.3)
            tensors |= linear(f"{prefix}{name}.weight", masters, form)
    return TinyCheckpoint(config, tensors)


def linear(name: str, masters: tuple[str, npt.NDArray[Any]], form: str) -> Tensors:
    """The tensors of one linear layer in the form asked for."""
    if form == "masters":
        return {name: masters}
    weights = (masters[1].astype(np.uint32) << 16).view(np.float32)
    scale = np.float32(max(np.abs(weights).mean(dtype=np.float64), 1e-5))
    ternary = np.clip(np.rint(weights * (np.float32(1) / scale)), -1, 1)
    return {name: ("U8", pack(ternary)), f"{name}_scale": bfloat16(np.array([scale]))}


def pack(ternary: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """[rows, cols] of -1, 0, +1 to [rows / 4, cols]: bits 2i hold the row i quarters down."""
    codes = (ternary + 1).astype(np.uint8).reshape(4, -1, ternary.shape[1])
    return codes[0] | codes[1] << 2 | codes[2] << 4 | codes[3] << 6


def bfloat16(values: npt.NDArray[Any]) -> tuple[str, npt.NDArray[np.uint16]]:
    """Round to the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return "BF16", ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def save_tensors(path: Path, tensors: Tensors) -> None:
    """Write a safetensors file."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, (dtype, values) in tensors.items():
        end = start + values.nbytes
        entries[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [start, end]}
        start = end
    content = b"".join(np.ascontiguousarray(values).tobytes() for _, values in tensors.values())
    path.write_bytes(with_header(entries, content))


def with_header(entries: dict[str, Any], content: bytes) -> bytes:
    """The bytes of a safetensors file with a header as given, true or not."""
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content


if __name__ == "__main__":
    chosen = sys.argv[2] if len(sys.argv) > 2 else "packed"
    chosen_seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    random_checkpoint(chosen, seed=chosen_seed).write(Path(sys.argv[1]))
