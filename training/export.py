#!/usr/bin/env python3
"""Write a Hugging Face folder in the packed layout of bitnet-b1.58-2B-4T.

python -m training.export --checkpoint run/checkpoint.pt --data data --out export
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from training.model import BitNet, Block, Config
from training.quantise import absmean_scale, ternarise
from training.tokenizer import BOS, CHAT_TEMPLATE, EOS, EOT, PAD

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN_FIELDS = ("content", "lstrip", "normalized", "rstrip", "single_word", "special")


def pack(ternary: Tensor) -> Tensor:
    """{-1,0,1} [out, in] to uint8 [out/4, in].

    Byte r holds rows r, r+out/4, r+out/2 and r+3·out/4, two bits each.
    """
    rows = ternary.shape[0] // 4
    assert ternary.shape[0] == rows * 4, "output rows must be a multiple of 4"
    codes = (ternary + 1).to(torch.uint8).view(4, rows, ternary.shape[1])
    return codes[0] | (codes[1] << 2) | (codes[2] << 4) | (codes[3] << 6)


def projections(block: Block) -> Iterator[tuple[str, Tensor]]:
    """The single projections of a layer under the hub's names."""
    yield from zip(
        ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), block.qkv.parts(), strict=True
    )
    yield "self_attn.o_proj", block.o_proj.weight
    yield from zip(("mlp.gate_proj", "mlp.up_proj"), block.gate_up.parts(), strict=True)
    yield "mlp.down_proj", block.down_proj.weight


def tensors(model: BitNet) -> dict[str, Tensor]:
    """Every tensor of model.safetensors."""
    bf16 = torch.bfloat16
    out = {
        "model.embed_tokens.weight": model.embed.to(bf16),
        "model.norm.weight": model.norm.weight.to(bf16),
    }
    for i, block in enumerate(model.layers):
        assert isinstance(block, Block)
        prefix = f"model.layers.{i}."
        for name, norm in (
            ("input_layernorm", block.input_layernorm),
            ("post_attention_layernorm", block.post_attention_layernorm),
            ("self_attn.attn_sub_norm", block.attn_sub_norm),
            ("mlp.ffn_sub_norm", block.ffn_sub_norm),
        ):
            out[f"{prefix}{name}.weight"] = norm.weight.to(bf16)
        for name, weight in projections(block):
            scale = absmean_scale(weight)
            out[f"{prefix}{name}.weight"] = pack(ternarise(weight, scale))
            out[f"{prefix}{name}.weight_scale"] = scale.to(bf16).reshape(1)
    return {name: tensor.detach().contiguous() for name, tensor in out.items()}


def model_config(config: Config, bos: int, eos: int) -> dict[str, Any]:
    """config.json."""
    return {
        "architectures": ["BitNetForCausalLM"],
        "model_type": "bitnet",
        "bos_token_id": bos,
        "eos_token_id": eos,
        "hidden_act": "relu2",
        "hidden_size": config.hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "num_attention_heads": config.num_attention_heads,
        "num_hidden_layers": config.num_hidden_layers,
        "num_key_value_heads": config.num_key_value_heads,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": config.vocab_size,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "offline",
        },
    }


def export(model: BitNet, tokenizer_json: Path, out: Path) -> int:
    """Write the whole folder; returns the size of the weights in bytes."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = json.loads(tokenizer_json.read_text())
    added = {t["content"]: t for t in tokenizer["added_tokens"]}
    bos, eos, eot = (added[token]["id"] for token in (BOS, EOS, EOT))
    longest = model.config.max_position_embeddings
    special = {"bos_token": BOS, "eos_token": EOT, "pad_token": PAD}
    files = {
        "config.json": model_config(model.config, bos, eos),
        "generation_config.json": {
            "_from_model_config": True,
            "bos_token_id": bos,
            "do_sample": True,
            "eos_token_id": [eos, eot],
            "max_length": longest,
            "temperature": 0.6,
            "top_p": 0.9,
        },
        "special_tokens_map.json": special,
        "tokenizer_config.json": {
            "added_tokens_decoder": {
                str(t["id"]): {k: t[k] for k in TOKEN_FIELDS} for t in added.values()
            },
            "add_bos_token": True,
            **special,
            "chat_template": CHAT_TEMPLATE,
            "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": longest,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    }
    for name, content in files.items():
        (out / name).write_text(json.dumps(content, indent=2) + "\n")
    (out / "tokenizer.json").write_text(
        json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))
    )
    weights = out / "model.safetensors"
    save_file(tensors(model), weights, metadata={"format": "pt"})
    weights.chmod(0o644)
    return weights.stat().st_size


def main() -> None:
    """Export a checkpoint of `train.py`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("run/checkpoint.pt"))
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("export"))
    a = parser.parse_args()
    state = torch.load(a.checkpoint, weights_only=True)
    model = BitNet(Config(**state["config"]))
    model.load_state_dict(state["model"])
    print(f"{export(model, a.data / 'tokenizer.json', a.out) / 1e6:.2f} MB of weights")


if __name__ == "__main__":
    main()
