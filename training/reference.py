"""The exported folder run with numpy alone: what a server must compute, written a second time.

It shares no code with `model.py`, so the two can check each other, and it keeps a cache, so it is
quick enough to sample from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

if TYPE_CHECKING:
    from pathlib import Path

Floats = npt.NDArray[np.float32]


def unpack(codes: npt.NDArray[np.uint8]) -> Floats:
    """Uint8 [out/4, in] to {-1,0,1} [out, in]; the lowest two bits are the first quarter's."""
    quarters = [((codes >> shift) & 3).astype(np.float32) - 1 for shift in (0, 2, 4, 6)]
    return np.concatenate(quarters)


def load_tensors(path: Path) -> dict[str, Any]:
    """All tensors; bf16 by way of torch-free integers, since numpy has no bf16."""
    raw = path.read_bytes()
    header_size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + header_size])
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_size + offset for offset in entry["data_offsets"])
        data = raw[begin:end]
        if entry["dtype"] == "BF16":
            wide = np.frombuffer(data, np.uint16).astype(np.uint32) << 16
            out[name] = wide.view(np.float32).reshape(entry["shape"])
        else:
            assert entry["dtype"] == "U8", entry["dtype"]
            out[name] = np.frombuffer(data, np.uint8).reshape(entry["shape"])
    return out


@dataclass(slots=True)
class Cache:
    """Keys and values of every layer, [tokens, kv heads, head] each."""

    keys: list[Floats] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)

    def extend(self, layer: int, k: Floats, v: Floats) -> tuple[Floats, Floats]:
        """Add new tokens to a layer; returns all of its keys and values."""
        if layer == len(self.keys):
            self.keys.append(k)
            self.values.append(v)
        else:
            self.keys[layer] = np.concatenate((self.keys[layer], k))
            self.values[layer] = np.concatenate((self.values[layer], v))
        return self.keys[layer], self.values[layer]


class Reference:
    """The model of an exported folder."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tensors = load_tensors(folder / "model.safetensors")
        self.tensors = {n: unpack(t) if t.dtype == np.uint8 else t for n, t in tensors.items()}
        self.stop = set(json.loads((folder / "generation_config.json").read_text())["eos_token_id"])

    def norm(self, x: Floats, name: str) -> Floats:
        """RMS norm."""
        mean = (x * x).mean(-1, keepdims=True)
        out: Floats = x / np.sqrt(mean + self.config["rms_norm_eps"]) * self.tensors[name]
        return out

    def linear(self, x: Floats, name: str) -> Floats:
        """Ternary projection of int8 activations."""
        step = np.maximum(np.abs(x).max(-1, keepdims=True), np.float32(1e-5)) / np.float32(127)
        values = np.clip(np.rint(x / step), -128, 127)
        scale = self.tensors[f"{name}.weight_scale"]
        out: Floats = values @ self.tensors[f"{name}.weight"].T * step * scale
        return out

    def rotate(self, x: Floats, first: int) -> Floats:
        """Rotary positions from `first` on."""
        half = x.shape[-1] // 2
        frequencies = self.config["rope_theta"] ** (-np.arange(half) / half)
        angles = np.outer(np.arange(first, first + len(x)), frequencies)[:, None]
        cos, sin = np.cos(angles), np.sin(angles)
        a, b = x[..., :half], x[..., half:]
        out: Floats = np.concatenate((a * cos - b * sin, b * cos + a * sin), -1).astype(np.float32)
        return out

    def attend(self, x: Floats, layer: int, cache: Cache) -> Floats:
        """The attention branch of one layer."""
        heads, kv = self.config["num_attention_heads"], self.config["num_key_value_heads"]
        size = self.config["hidden_size"] // heads
        prefix, new = f"model.layers.{layer}.self_attn.", len(x)
        past = len(cache.keys[layer]) if layer < len(cache.keys) else 0
        q = self.rotate(self.linear(x, prefix + "q_proj").reshape(new, heads, size), past)
        k = self.rotate(self.linear(x, prefix + "k_proj").reshape(new, kv, size), past)
        keys, values = cache.extend(
            layer, k, self.linear(x, prefix + "v_proj").reshape(new, kv, size)
        )
        future = np.arange(past + new)[None, :] > np.arange(past, past + new)[:, None]
        out = np.empty((new, heads, size), np.float32)
        for head in range(heads):
            group = head // (heads // kv)
            scores = q[:, head] @ keys[:, group].T / np.float32(size**0.5)
            scores[future] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = weights / weights.sum(-1, keepdims=True) @ values[:, group]
        return self.linear(
            self.norm(out.reshape(new, -1), prefix + "attn_sub_norm.weight"), prefix + "o_proj"
        )

    def logits(self, ids: list[int], cache: Cache) -> Floats:
        """Logits after each of the new tokens."""
        x = self.tensors["model.embed_tokens.weight"][ids]
        for layer in range(self.config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            x = x + self.attend(self.norm(x, prefix + "input_layernorm.weight"), layer, cache)
            h = self.norm(x, prefix + "post_attention_layernorm.weight")
            gated = np.maximum(self.linear(h, prefix + "mlp.gate_proj"), 0) ** 2 * self.linear(
                h, prefix + "mlp.up_proj"
            )
            x = x + self.linear(
                self.norm(gated, prefix + "mlp.ffn_sub_norm.weight"), prefix + "mlp.down_proj"
            )
        out: Floats = (
            self.norm(x, "model.norm.weight") @ self.tensors["model.embed_tokens.weight"].T
        )
        return out

    def generate(
        self,
        text: str,
        *,
        temperature: float = 0.6,
        top_p: float = 1.0,
        longest: int = 300,
        seed: int = 0,
    ) -> tuple[str, bool]:
        """The answer to a rendered prompt, and whether it ended by itself."""
        rng, cache = np.random.default_rng(seed), Cache()
        ids, out = self.tokenizer.encode(text).ids, list[int]()
        while len(out) < longest:
            logits = self.logits(ids, cache)[-1]
            token = pick(logits, temperature, top_p, rng)
            if token in self.stop:
                return self.tokenizer.decode(out), True
            out.append(token)
            ids = [token]
        return self.tokenizer.decode(out), False


def pick(logits: Floats, temperature: float, top_p: float, rng: np.random.Generator) -> int:
    """One token; the likeliest at temperature 0."""
    if temperature == 0:
        return int(logits.argmax())
    p = np.exp((logits - logits.max()) / temperature).astype(np.float64)
    p /= p.sum()
    order = np.argsort(-p)
    kept = order[: int(np.searchsorted(np.cumsum(p[order]), top_p)) + 1] if top_p < 1 else order
    return int(rng.choice(kept, p=p[kept] / p[kept].sum()))
