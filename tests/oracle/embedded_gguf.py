"""The embedded model as a GGUF file, from its weights and tokenizer."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tercet_engine import EMBEDDED_MODEL
from tests.oracle.decoder_numpy import Decoder
from tests.oracle.gguf_models import I2_S, byte_level_keys
from tests.oracle.gguf_writer import GgufWriter, Kind, Tensor, Typed

F32, F16, BF16 = 0, 1, 30
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.ffn_sub_norm": "ffn_sub_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_embedded(path: Path, *, noise: float | None = None) -> Path:
    """Write the file: ternary in I2_S, or with `noise` as float16 that is far from ternary."""
    decoder = Decoder(EMBEDDED_MODEL)
    config = decoder.config
    arch = "bitnet-b1.58"
    keys: dict[str, Any] = {
        "general.architecture": arch,
        f"{arch}.context_length": config["max_position_embeddings"],
        f"{arch}.embedding_length": config["hidden_size"],
        f"{arch}.block_count": config["num_hidden_layers"],
        f"{arch}.feed_forward_length": config["intermediate_size"],
        f"{arch}.attention.head_count": config["num_attention_heads"],
        f"{arch}.attention.head_count_kv": config["num_key_value_heads"],
        f"{arch}.attention.layer_norm_rms_epsilon": Typed(Kind.F32, 1e-5),
        f"{arch}.rope.freq_base": Typed(Kind.F32, 500_000.0),
        **byte_level_keys(EMBEDDED_MODEL / "tokenizer.json"),
    }
    found = decoder.tensors
    tensors = {
        "token_embd.weight": numbers(found["model.embed_tokens.weight"], BF16),
        "output_norm.weight": numbers(found["model.norm.weight"], F32),
    }
    random = np.random.default_rng(0)
    for layer in range(config["num_hidden_layers"]):
        for theirs, ours in NAMES.items():
            name = f"model.layers.{layer}.{theirs}"
            if name not in decoder.linears:
                tensor = numbers(found[f"{name}.weight"], F32)
            elif noise is None:
                tensor = i2_s(*decoder.linears[name])
            else:
                ternary, scale = decoder.linears[name]
                tensor = numbers(ternary * scale + random.normal(0, noise, ternary.shape), F16)
            tensors[f"blk.{layer}.{ours}.weight"] = tensor
    path.write_bytes(GgufWriter(keys, tensors).to_bytes())
    return path


def numbers(values: npt.NDArray[Any], type_id: int) -> Tensor:
    """Plain numbers; bfloat16 ones are so already."""
    if type_id == BF16:
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16
        return Tensor(type_id, values.shape, bits.astype(np.uint16).tobytes())
    dtype = np.float16 if type_id == F16 else np.float32
    return Tensor(type_id, values.shape, values.astype(dtype).tobytes())


def i2_s(ternary: npt.NDArray[Any], scale: np.float32) -> Tensor:
    """Blocks of 128 in 32 bytes, the first 32 weights in the highest bits; then the scale."""
    codes = (ternary.reshape(-1, 4, 32) + 1).astype(np.uint8)
    packed = codes[:, 0] << 6 | codes[:, 1] << 4 | codes[:, 2] << 2 | codes[:, 3]
    tail = np.float32(scale).tobytes() + bytes(28)
    return Tensor(I2_S, ternary.shape, packed.tobytes() + tail)
