"""Architectures that ternary models come in and that are not computed here, in a word each.

Whoever tries one learns what stands in the way instead of a list of names.
"""

from typing import Final

_EXPERTS: Final = "mixture of experts"
_DELTA_NET: Final = "gated delta-net layers (linear attention)"
_EMBEDDING: Final = "an embedding model with a norm before every projection and no output head"

_REASONS: Final = {
    "Qwen3NextForCausalLM": f"{_DELTA_NET} and {_EXPERTS}",
    "Qwen3_5ForCausalLM": _DELTA_NET,
    "Qwen3_5ForConditionalGeneration": f"{_DELTA_NET}, with images",
    "Qwen3_5MoeForCausalLM": f"{_DELTA_NET} and {_EXPERTS}",
    "Qwen3_5MoeForConditionalGeneration": f"{_DELTA_NET} and {_EXPERTS}, with images",
    "Qwen3MoeForCausalLM": _EXPERTS,
    "Qwen2MoeForCausalLM": _EXPERTS,
    "MixtralForCausalLM": _EXPERTS,
    "OlmoeForCausalLM": _EXPERTS,
    "DeepseekV2ForCausalLM": f"{_EXPERTS} and latent attention",
    "DeepseekV3ForCausalLM": f"{_EXPERTS} and latent attention",
    "MapleForCausalLM": f"{_EXPERTS} and sliding-window attention",
    "MiniCPM3ForCausalLM": "latent attention",
    "MiniCPMSALAForCausalLM": "layers of two kinds of attention",
    "Gemma3ForCausalLM": "sliding-window attention",
    "MistralForCausalLM": "sliding-window attention",
    "Qwen3Model": _EMBEDDING,
    "Gemma3TextModel": _EMBEDDING,
    "BitNetModel": "a decoder without an output head",
    "LlamaModel": "a decoder without an output head",
}

_TENSORS: Final = {
    "_proj.norm.weight": "a norm before each projection, as in bitnet-embedding",
    ".mlp.experts.": _EXPERTS,
    ".mlp.gate.weight": _EXPERTS,
    ".linear_attn.": _DELTA_NET,
    "hadamard": "weights in a rotated basis",
}
"""What tensors tell of a model, by a part of their names."""


def reason(architecture: object) -> str:
    """What stands in the way, as a clause with a colon before it; empty where nothing is known."""
    known = _REASONS.get(architecture) if isinstance(architecture, str) else None
    return f": {known}" if known else ""


def reason_of_tensor(name: str) -> str:
    """What a tensor that nobody asks for belongs to, as such a clause."""
    return next((f": {known}" for part, known in _TENSORS.items() if part in name), "")
