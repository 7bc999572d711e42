"""The same ternary weights as a folder and as GGUF files of every type.

    model = SameWeights("qwen3", scale_group=128)
    model.write_folder(path)
    model.write_gguf(path / "model.gguf", "q2_0_g64")

Scales are float16 and bfloat16 numbers at once, so that no container rounds them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.oracle.gguf_layouts import DRAWN, LAYOUTS, values
from tests.oracle.gguf_writer import GgufWriter, Tensor
from tests.oracle.make_tiny import Tensors, TinyCheckpoint, pack

Array = npt.NDArray[Any]
HIDDEN, INTERMEDIATE, HEADS, KV_HEADS, HEAD_DIM, VOCAB = 256, 512, 4, 2, 64, 320
SHAPES = {
    "q": (HEADS * HEAD_DIM, HIDDEN),
    "k": (KV_HEADS * HEAD_DIM, HIDDEN),
    "v": (KV_HEADS * HEAD_DIM, HIDDEN),
    "o": (HIDDEN, HEADS * HEAD_DIM),
    "gate": (INTERMEDIATE, HIDDEN),
    "up": (INTERMEDIATE, HIDDEN),
    "down": (HIDDEN, INTERMEDIATE),
}
_HF_LINEARS = {
    **{name: f"self_attn.{name}_proj" for name in "qkvo"},
    **{name: f"mlp.{name}_proj" for name in ("gate", "up", "down")},
}
_GGUF_LINEARS = {
    **{name: f"attn_{name}" for name in "qkv"},
    "o": "attn_output",
    **{name: f"ffn_{name}" for name in ("gate", "up", "down")},
}
_NORMS = {
    "attention": ("input_layernorm", "attn_norm", HIDDEN),
    "feed_forward": ("post_attention_layernorm", "ffn_norm", HIDDEN),
    "attention_sub": ("self_attn.attn_sub_norm", "attn_sub_norm", HEADS * HEAD_DIM),
    "feed_forward_sub": ("mlp.ffn_sub_norm", "ffn_sub_norm", INTERMEDIATE),
    "query": ("self_attn.q_norm", "attn_q_norm", HEAD_DIM),
    "key": ("self_attn.k_norm", "attn_k_norm", HEAD_DIM),
}
_NORMS_OF = {
    "bitnet-b1.58": ("attention", "feed_forward", "attention_sub", "feed_forward_sub"),
    "llama": ("attention", "feed_forward"),
    "minicpm": ("attention", "feed_forward"),
    "qwen3": ("attention", "feed_forward", "query", "key"),
}
_CONFIG_OF = {
    "bitnet-b1.58": {
        "architectures": ["BitNetForCausalLM"],
        "hidden_act": "relu2",
        "quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear"},
        "tie_word_embeddings": True,
    },
    "llama": {"architectures": ["LlamaForCausalLM"], "hidden_act": "silu"},
    "minicpm": {
        "architectures": ["MiniCPMForCausalLM"],
        "hidden_act": "silu",
        "scale_emb": 12,
        "scale_depth": 1.4,
        "dim_model_base": 64,
        "rope_scaling": {
            "rope_type": "longrope",
            "short_factor": [1.0 + 0.01 * pair for pair in range(32)],
            "long_factor": [1.0 + 0.5 * pair for pair in range(32)],
            "original_max_position_embeddings": 64,
        },
    },
    "qwen3": {"architectures": ["Qwen3ForCausalLM"], "hidden_act": "silu"},
}
_BITLINEAR = {"quantization_config": {"quant_method": "bitnet"}}


@dataclass
class SameWeights:
    """One model.

    Attributes:
        architecture: as GGUF names it.
        scale_group: columns that share a scale; 0: the whole matrix does.
        has_ternary_tables: embedding and head are ternary in the same groups.
        is_packed: the folder holds packed matrices.
    """

    architecture: str
    scale_group: int = 0
    has_ternary_tables: bool = False
    is_packed: bool = False
    matrices: dict[tuple[int, str], tuple[Array, Array]] = field(default_factory=dict)
    norms: dict[tuple[int, str], Array] = field(default_factory=dict)
    tables: dict[str, tuple[Array, Array]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(7)
        self._random = random
        for layer in range(2):
            for name, shape in SHAPES.items():
                self.matrices[layer, name] = self._matrix(*shape)
            for name in _NORMS_OF[self.architecture]:
                self.norms[layer, name] = _exact(random.uniform(0.5, 1.5, _NORMS[name][2]))
        is_tied = self.architecture == "bitnet-b1.58"
        gain = 0.02 if is_tied else 0.1  # logits that leave several tokens likely
        self.numbers: dict[str, tuple[int, bytes, Array]] = {}
        self.norms[-1, "final"] = _exact(random.uniform(0.5, 1.5, HIDDEN) * gain)
        names = ("embedding",) if is_tied else ("embedding", "head")
        for name in names:
            self.tables[name] = (
                self._matrix(VOCAB, HIDDEN)
                if self.has_ternary_tables
                else _plain(_exact(random.standard_normal((VOCAB, HIDDEN))))
            )

    def with_numbers(self, layout: str) -> "SameWeights":
        """Take an embedding and a head of quantised numbers."""
        type_id, draw = DRAWN[layout]
        for name in self.tables:
            content, meaning = draw(self._random, VOCAB, HIDDEN)
            self.numbers[name] = (type_id, content, meaning)
        return self

    def write_folder(self, folder: Path) -> Path:
        tensors: Tensors = {}
        for (layer, name), (codes, scales) in self.matrices.items():
            tensor = f"model.layers.{layer}.{_HF_LINEARS[name]}.weight"
            if self.is_packed:
                scale = scales.flat[0]
                told = scale if self.architecture == "bitnet-b1.58" else 1 / scale
                tensors[tensor] = ("U8", pack(codes.astype(np.int8) - 1))
                tensors[f"{tensor}_scale"] = ("F32", np.array([told], np.float32))
            else:
                tensors[tensor] = ("F16", values(codes, scales).astype(np.float16))
        for (layer, name), gains in self.norms.items():
            norm = "model.norm" if layer < 0 else f"model.layers.{layer}.{_NORMS[name][0]}"
            tensors[f"{norm}.weight"] = ("F32", gains)
        for name, tensor in (("embedding", "model.embed_tokens"), ("head", "lm_head")):
            if name in self.numbers:
                tensors[f"{tensor}.weight"] = ("F32", self.numbers[name][2])
            elif name in self.tables:
                table = values(*self.tables[name])
                tensors[f"{tensor}.weight"] = ("F16", table.astype(np.float16))
        return TinyCheckpoint(self._config(), tensors).write(folder)

    def write_gguf(self, path: Path, layout: str, **metadata: Any) -> Path:
        path.write_bytes(GgufWriter(self.metadata() | metadata, self.tensors(layout)).to_bytes())
        return path

    def tensors(self, layout: str) -> dict[str, Tensor]:
        """The tensors of a file."""
        tensors: dict[str, Tensor] = {}
        for (layer, name), (codes, scales) in self.matrices.items():
            tensors[f"blk.{layer}.{_GGUF_LINEARS[name]}.weight"] = self._stored(
                *(self._in_pairs(name, part) for part in (codes, scales)), layout
            )
        for (layer, name), gains in self.norms.items():
            norm = "output_norm" if layer < 0 else f"blk.{layer}.{_NORMS[name][1]}"
            tensors[f"{norm}.weight"] = Tensor(0, gains.shape, gains.tobytes())
        for name, tensor in (("embedding", "token_embd"), ("head", "output")):
            if name in self.numbers:
                type_id, content, meaning = self.numbers[name]
                tensors[f"{tensor}.weight"] = Tensor(type_id, meaning.shape, content)
            elif name in self.tables:
                kind = layout if self.has_ternary_tables else "f16"
                tensors[f"{tensor}.weight"] = self._stored(*self.tables[name], kind)
        if self.architecture == "minicpm":
            scaling = _CONFIG_OF["minicpm"]["rope_scaling"]
            for name in ("short", "long"):
                factors = np.array(scaling[f"{name}_factor"], np.float32)
                tensors[f"rope_factors_{name}.weight"] = Tensor(0, (32,), factors.tobytes())
        return tensors

    def metadata(self) -> dict[str, Any]:
        """The keys of a file, but for its tokenizer."""
        keys = {
            "embedding_length": HIDDEN,
            "feed_forward_length": INTERMEDIATE,
            "block_count": 2,
            "attention.head_count": HEADS,
            "attention.head_count_kv": KV_HEADS,
            "attention.key_length": HEAD_DIM,
            "context_length": 512,
            "attention.layer_norm_rms_epsilon": 1e-5,
            "rope.freq_base": 10_000.0,
        }
        if self.architecture == "minicpm":
            keys |= {
                "embedding_scale": 12.0,
                "residual_scale": 1.4 / 2**0.5,
                "logit_scale": HIDDEN / 64,
                "rope.scaling.type": "longrope",
                "rope.scaling.original_context_length": 64,
            }
        own = {f"{self.architecture}.{key}": value for key, value in keys.items()}
        return {"general.architecture": self.architecture} | own

    def _config(self) -> dict[str, Any]:
        own = _CONFIG_OF[self.architecture]
        more = _BITLINEAR if self.is_packed and self.architecture == "llama" else {}
        return {
            "hidden_size": HIDDEN,
            "intermediate_size": INTERMEDIATE,
            "num_hidden_layers": 2,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "head_dim": HEAD_DIM,
            "vocab_size": VOCAB,
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-5,
            "rope_theta": 10_000.0,
            "tie_word_embeddings": False,
            **own,
            **more,
        }

    def _matrix(self, rows: int, cols: int) -> tuple[Array, Array]:
        codes = self._random.integers(0, 3, (rows, cols)).astype(np.uint8)
        if self.scale_group == 0:
            scale = 2.0 ** self._random.integers(-5, -2)
            return codes, np.full((rows, 1), scale, np.float32)
        scales = self._random.uniform(0.02, 0.1, (rows, cols // self.scale_group))
        return codes, _exact(scales)

    def _stored(self, codes: Array, scales: Array, layout: str) -> Tensor:
        type_id, encode = LAYOUTS[layout]
        return Tensor(type_id, codes.shape, encode(codes, scales))

    def _in_pairs(self, name: str, rows: Array) -> Array:
        """Rows of queries and keys as converters of `llama` write them: (i, i + half) together."""
        if self.architecture not in {"llama", "minicpm"} or name not in {"q", "k"}:
            return rows
        heads = rows.reshape(-1, 2, HEAD_DIM // 2, rows.shape[1])
        return np.ascontiguousarray(heads.swapaxes(1, 2).reshape(rows.shape))


def _exact(numbers: Array) -> Array:
    """Round to numbers that float16 and bfloat16 both have."""
    bits = numbers.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
    return bits.view(np.float32)


def _plain(table: Array) -> tuple[Array, Array]:
    """Any numbers in the form of codes and scales: codes of 2, a scale for each."""
    return np.full(table.shape, 2, np.uint8), table
