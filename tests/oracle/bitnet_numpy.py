"""BitNet b1.58 (2B4T) in NumPy: an oracle for the C++ engine, written from the model's formulas.

Reads a checkpoint with its own few lines, computes a whole sequence at once in float32, keeps no
cache and knows no blocks. Slow and plain on purpose: it shares no code with what it checks. Keys
and values can be rounded to bfloat16, as a cache of that type does.
"""

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
FEED_FORWARD = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


class BitNet:
    """A checkpoint in the layout of bitnet-b1.58-2B-4T, packed or bf16 masters."""

    def __init__(self, folder: Path, *, rounds_cache: bool = False) -> None:
        self.rounds_cache = rounds_cache
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = read_tensors(folder / "model.safetensors")
        mode = self.config["quantization_config"]["quantization_mode"]
        self.linears = {
            name: self._unpack(name) if mode == "offline" else self._ternarize(name)
            for layer in range(self.config["num_hidden_layers"])
            for name in (f"model.layers.{layer}.{part}" for part in ATTENTION + FEED_FORWARD)
        }

    def logits(self, tokens: list[int]) -> Floats:
        """Logits after every token: float32 [num_tokens, vocab]."""
        hidden = self.tensors["model.embed_tokens.weight"][tokens]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            hidden = hidden + self._attention(prefix, hidden)
            hidden = hidden + self._feed_forward(prefix, hidden)
        return self._norm("model.norm", hidden) @ self.tensors["model.embed_tokens.weight"].T

    def linear(self, name: str, x: Floats) -> Floats:
        """Quantise each row of activations to int8, multiply exactly, scale back."""
        ternary, scale = self.linears[name]
        largest = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-5))
        to_int8 = np.float32(127) / largest
        quantized = np.clip(np.rint(x * to_int8), -128, 127).astype(np.int32)
        return (quantized @ ternary.T.astype(np.int32)).astype(np.float32) / to_int8 * scale

    def _attention(self, prefix: str, hidden: Floats) -> Floats:
        x = self._norm(prefix + "input_layernorm", hidden)
        num_heads = self.config["num_attention_heads"]
        num_kv_heads = self.config["num_key_value_heads"]
        q = rotate(self._heads(prefix + "self_attn.q_proj", x, num_heads), self._rope_theta)
        k = rotate(self._heads(prefix + "self_attn.k_proj", x, num_kv_heads), self._rope_theta)
        v = self._heads(prefix + "self_attn.v_proj", x, num_kv_heads)
        k, v = (round_to_bfloat16(k), round_to_bfloat16(v)) if self.rounds_cache else (k, v)
        group = num_heads // num_kv_heads
        heads = [attend(q[i], k[i // group], v[i // group]) for i in range(num_heads)]
        mixed = np.concatenate(heads, axis=-1)
        return self.linear(
            prefix + "self_attn.o_proj", self._norm(prefix + "self_attn.attn_sub_norm", mixed)
        )

    def _feed_forward(self, prefix: str, hidden: Floats) -> Floats:
        x = self._norm(prefix + "post_attention_layernorm", hidden)
        gate = np.square(np.maximum(self.linear(prefix + "mlp.gate_proj", x), 0))
        inner = gate * self.linear(prefix + "mlp.up_proj", x)
        return self.linear(prefix + "mlp.down_proj", self._norm(prefix + "mlp.ffn_sub_norm", inner))

    def _heads(self, name: str, x: Floats, num_heads: int) -> Floats:
        """[num_heads, num_tokens, head_dim]"""
        return self.linear(name, x).reshape(len(x), num_heads, -1).swapaxes(0, 1)

    def _norm(self, name: str, x: Floats) -> Floats:
        mean_square = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float32)
        inverse = np.float32(1) / np.sqrt(mean_square + np.float32(self.config["rms_norm_eps"]))
        return x * inverse * self.tensors[name + ".weight"]

    @property
    def _rope_theta(self) -> float:
        return float(self.config["rope_theta"])

    def _unpack(self, name: str) -> tuple[npt.NDArray[np.int8], np.float32]:
        """Bits 2i..2i+1 of packed row r hold row r + i * rows / 4, plus one."""
        packed = self.tensors[name + ".weight"].astype(np.uint8)
        codes = np.concatenate([packed >> shift & 3 for shift in (0, 2, 4, 6)])
        return codes.astype(np.int8) - np.int8(1), self.tensors[name + ".weight_scale"].reshape(-1)[
            0
        ]

    def _ternarize(self, name: str) -> tuple[npt.NDArray[np.int8], np.float32]:
        masters = self.tensors[name + ".weight"]
        inverse = np.float32(1 / max(np.abs(masters).mean(dtype=np.float64), 1e-5))
        return np.clip(np.rint(masters * inverse), -1, 1).astype(np.int8), 1 / inverse


def rotate(x: Floats, theta: float) -> Floats:
    """Rotary positions on [num_heads, num_tokens, head_dim]; i is paired with i + head_dim / 2."""
    num_tokens, head_dim = x.shape[-2:]
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = np.arange(num_tokens)[:, None] * frequencies
    cos, sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def attend(q: Floats, k: Floats, v: Floats) -> Floats:
    """Causal attention of one head: [num_tokens, head_dim] each."""
    scores = q @ k.T / np.sqrt(np.float32(q.shape[-1]))
    scores[np.triu_indices(len(q), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def round_to_bfloat16(x: Floats) -> Floats:
    """To the nearest, ties to even; kept as float32."""
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def read_tensors(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """All tensors of a safetensors file; bfloat16 widened to float32."""
    content = path.read_bytes()
    (header_bytes,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + header_bytes])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "BF16":
            bits = np.frombuffer(content[start:end], np.uint16).astype(np.uint32)
            values = (bits << 16).view(np.float32)
        else:
            assert entry["dtype"] == "U8"
            values = np.frombuffer(content[start:end], np.uint8)
        tensors[name] = values.reshape(entry["shape"])
    return tensors
