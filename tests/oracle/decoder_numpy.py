"""Every family of ternary decoders in NumPy: an oracle for the C++ engine, written from formulas.

Reads a checkpoint with its own few lines, computes a whole sequence at once in float32, keeps no
cache and knows no blocks. Slow and plain on purpose: it shares no code with what it checks. Keys
and values can be rounded to bfloat16, as a cache of that type does.

Models that define int8 activations (W1.58A8) are computed so. Those whose weights are plain numbers
define none (W1.58A16): they are computed in floating point, or with `activation_group` as the
engine does it, each group of so many columns rounded to int8 by a scale of its own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.oracle.rope_numpy import rotate, rotation
from tests.oracle.tensors_numpy import read_tensors, round_to_bfloat16

Floats = npt.NDArray[np.float32]

ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
FEED_FORWARD = ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
LINEARS = ATTENTION + FEED_FORWARD
SUB_NORMS = (
    ("self_attn.attn_sub_norm", "self_attn.inner_attn_ln"),
    ("mlp.ffn_sub_norm", "mlp.ffn_layernorm"),
)
"""Norms before the output projections, by the names of BitNet and of its first reproduction."""


class Decoder:
    """A checkpoint of any family.

    Args:
        folder: with `config.json` and `model.safetensors`.
        rounds_cache: keys and values are rounded to bfloat16.
        activation_group: columns that share an int8 scale where the model defines no int8
            activations; 0: these are not rounded.
        activation_bits: bits of these integers.
        rounds_head: the head's input is rounded like that of ternary matrices.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rounds_cache: bool = False,
        activation_group: int = 0,
        activation_bits: int = 8,
        rounds_head: bool = False,
    ) -> None:
        self.rounds_cache = rounds_cache
        self.activation_group = activation_group
        self.largest_integer = 2 ** (activation_bits - 1) - 1
        self.rounds_head = rounds_head
        self.config: dict[str, Any] = json.loads((folder / "config.json").read_text())
        self.tensors = read_tensors(folder / "model.safetensors")
        self.layers = range(self.config["num_hidden_layers"])
        names = [f"model.layers.{i}.{part}" for i in self.layers for part in LINEARS]
        self.form = self._form()
        self.linears = {name: self._weights(name) for name in names}
        self.rotation = rotation(self.config, self._head_dim)

    def logits(self, tokens: list[int]) -> Floats:
        """Logits after every token: float32 [num_tokens, vocab]."""
        embedding = self.tensors["model.embed_tokens.weight"]
        is_tied = self.config.get("tie_word_embeddings") or "lm_head.weight" not in self.tensors
        head = embedding if is_tied else self.tensors["lm_head.weight"]
        hidden = embedding[tokens] * np.float32(self.config.get("scale_emb", 1))
        depth = self.config.get("scale_depth")
        branch = np.float32(1 if depth is None else depth / np.sqrt(len(self.layers)))
        for layer in self.layers:
            prefix = f"model.layers.{layer}."
            hidden = hidden + branch * self._attention(prefix, hidden)
            hidden = hidden + branch * self._feed_forward(prefix, hidden)
        x = self._norm("model.norm", hidden)
        x = x * np.float32(self.config.get("dim_model_base", x.shape[-1]) / x.shape[-1])
        return (self.rounded(x) if self.rounds_head else x) @ head.T

    def linear(self, name: str, x: Floats) -> Floats:
        """A ternary matrix: its own norm if it has one, rounded activations, its bias."""
        weights, scale = self.linears[name]
        if f"{name}.rms_norm.weight" in self.tensors:
            x = self._norm(f"{name}.rms_norm", x, self._quantization.get("rms_norm_eps", 1e-6))
        if self.form == "dense":
            product = self.rounded(x) @ weights.T
        else:
            # Quantise each row of activations to int8, multiply exactly, scale back.
            largest = np.maximum(np.abs(x).max(axis=-1, keepdims=True), np.float32(1e-5))
            to_int8 = np.float32(127) / largest
            quantized = np.clip(np.rint(x * to_int8), -128, 127).astype(np.int32)
            sums = quantized @ weights.T.astype(np.int32)
            product = sums.astype(np.float32) / to_int8 * scale
        return product + self.tensors.get(f"{name}.bias", np.float32(0))

    def rounded(self, x: Floats) -> Floats:
        """Activations as integers of each group would give them back."""
        if not self.activation_group:
            return x
        num_cols = x.shape[-1]
        group = min(self.activation_group, num_cols)
        spare = -num_cols % group
        padded = np.pad(x, [*([(0, 0)] * (x.ndim - 1)), (0, spare)])
        groups = padded.reshape(*x.shape[:-1], -1, group)
        largest = np.abs(groups).max(axis=-1, keepdims=True)
        to_integer = np.float32(self.largest_integer) / np.where(largest > 0, largest, 1)
        rounded: Floats = np.rint(groups * to_integer) / to_integer
        return rounded.reshape(padded.shape)[..., :num_cols]

    def _attention(self, prefix: str, hidden: Floats) -> Floats:
        x = self._norm(prefix + "input_layernorm", hidden)
        num_heads = self.config["num_attention_heads"]
        num_kv_heads = self.config.get("num_key_value_heads") or num_heads
        q = self._heads(prefix + "self_attn.q_proj", x, num_heads)
        k = self._heads(prefix + "self_attn.k_proj", x, num_kv_heads)
        v = self._heads(prefix + "self_attn.v_proj", x, num_kv_heads)
        if prefix + "self_attn.q_norm.weight" in self.tensors:
            q = self._norm(prefix + "self_attn.q_norm", q)
            k = self._norm(prefix + "self_attn.k_norm", k)
        q, k = rotate(q, *self.rotation), rotate(k, *self.rotation)
        k, v = (round_to_bfloat16(k), round_to_bfloat16(v)) if self.rounds_cache else (k, v)
        group = num_heads // num_kv_heads
        heads = [attend(q[i], k[i // group], v[i // group]) for i in range(num_heads)]
        mixed = self._sub_norm(prefix, 0, np.concatenate(heads, axis=-1))
        return self.linear(prefix + "self_attn.o_proj", mixed)

    def _feed_forward(self, prefix: str, hidden: Floats) -> Floats:
        x = self._norm(prefix + "post_attention_layernorm", hidden)
        gate = self.linear(prefix + "mlp.gate_proj", x)
        if self.config["hidden_act"] == "relu2":
            gate = np.square(np.maximum(gate, 0))
        else:
            gate = gate / (1 + np.exp(-gate))
        inner = gate * self.linear(prefix + "mlp.up_proj", x)
        return self.linear(prefix + "mlp.down_proj", self._sub_norm(prefix, 1, inner))

    def _heads(self, name: str, x: Floats, num_heads: int) -> Floats:
        """[num_heads, num_tokens, head_dim]"""
        return self.linear(name, x).reshape(len(x), num_heads, -1).swapaxes(0, 1)

    def _sub_norm(self, prefix: str, which: int, x: Floats) -> Floats:
        for name in SUB_NORMS[which]:
            if f"{prefix}{name}.weight" in self.tensors:
                return self._norm(prefix + name, x)
        return x

    def _norm(self, name: str, x: Floats, eps: float | None = None) -> Floats:
        eps = self.config["rms_norm_eps"] if eps is None else eps
        mean_square = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float32)
        inverse = np.float32(1) / np.sqrt(mean_square + np.float32(eps))
        return x * inverse * self.tensors[name + ".weight"]

    @property
    def _head_dim(self) -> int:
        found = self.config.get("head_dim")
        return found or self.config["hidden_size"] // self.config["num_attention_heads"]

    @property
    def _quantization(self) -> dict[str, Any]:
        return self.config.get("quantization_config") or {}

    def _form(self) -> str:
        says_masters = "weight_bits" in self.config or "is_bitnet_config" in self.config
        if says_masters or self._quantization.get("quantization_mode") == "online":
            return "masters"
        return "packed" if self._quantization else "dense"

    def _weights(self, name: str) -> tuple[npt.NDArray[Any], np.float32]:
        stored = self.tensors[f"{name}.weight"]
        if self.form == "dense":
            return stored, np.float32(1)
        if self.form == "masters":
            inverse = np.float32(1 / max(np.abs(stored).mean(dtype=np.float64), 1e-5))
            return np.clip(np.rint(stored * inverse), -1, 1).astype(np.int8), 1 / inverse
        # Bits 2i..2i+1 of packed row r hold row r + i * rows / 4, plus one.
        codes = np.concatenate([stored >> shift & 3 for shift in (0, 2, 4, 6)])
        scale = self.tensors[f"{name}.weight_scale"].reshape(-1)[0]
        is_factor = self._quantization.get("linear_class") == "autobitlinear"
        return codes.astype(np.int8) - np.int8(1), scale if is_factor else np.float32(1) / scale


def attend(q: Floats, k: Floats, v: Floats) -> Floats:
    """Causal attention of one head: [num_tokens, head_dim] each."""
    scores = q @ k.T / np.sqrt(np.float32(q.shape[-1]))
    scores[np.triu_indices(len(q), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v
