"""A checkpoint's JSON files: `config.json` of every family, and what `generation_config.json` says.

What is accepted must be a shape that can be computed: finite frequencies, matrices of some size.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tercet_engine import CheckpointError, UnsupportedModel, model_files
from tercet_engine.families import find_family
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_files import ModelFiles
from tercet_engine.model_shape import ModelShape
from tercet_engine.packed.format import says_packed, section_of, shape_of
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.refusals import refused
from tests.fuzz.target import Finding, Target
from tests.fuzz.targets.safetensors import temporary_folder
from tests.oracle.toy_engine import byte_tokenizer

_ARCHITECTURES: Final = (
    "BitNetForCausalLM",
    "BitnetForCausalLM",
    "LlamaForCausalLM",
    "Qwen3ForCausalLM",
    "MiniCPMForCausalLM",
    "TercetPackedModel",
)
_WORDS: Final = (
    *("architectures", "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"),
    *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"),
    *("rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters", "hidden_act"),
    *("hidden_activation", "attention_bias", "mlp_bias", "tie_word_embeddings", "weight_bits"),
    *("input_bits", "quantization_config", "quant_method", "linear_class", "quantization_mode"),
    *(
        "modules_to_not_convert",
        "use_rms_norm",
        "rope_type",
        "type",
        "factor",
        "mscale",
        "truncate",
    ),
    *("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "mscale_all_dim"),
    *("attention_factor", "short_factor", "long_factor", "original_max_position_embeddings"),
    *("partial_rotary_factor", "scale_emb", "scale_depth", "dim_model_base", "sliding_window"),
    *("use_sliding_window", "layer_types", "num_experts", "sparse_config", "kv_lora_rank"),
    *("final_logit_softcapping", "clip_qkv", "hadamard", "eos_token_id", "do_sample", "top_k"),
    *("temperature", "top_p", "chat_template", "eos_token", "content", "name", "template"),
    *("tercet", "format", "shape", "biases", "rope", "theta", "scaling", "activation"),
)
_VALUES: Final = (
    *_ARCHITECTURES,
    *("silu", "swish", "relu2", "relu_squared", "default", "linear", "llama3", "yarn", "longrope"),
    *("su", "dynamic", "bitnet", "autobitlinear", "bitlinear", "online", "offline", "lm_head"),
    *("full_attention", "sliding_attention", [0.5] * 8, [1.0] * 8, ["lm_head"], 8, 10_000.0, 1e-5),
)


def open_target() -> Callable[[bytes], str]:
    """Each input is a `config.json`, or both small files where it names no architecture."""
    folder = temporary_folder()
    tokenizer = byte_tokenizer()
    path = folder / "config.json"
    for name in ("generation_config.json", "tokenizer_config.json"):
        (folder / name).symlink_to(path)
    model_files.ChatTemplate = _Template  # type: ignore[misc, assignment]

    def run(data: bytes) -> str:
        try:
            values = json.loads(data)
        except (ValueError, RecursionError):
            values = None
        try:
            if not isinstance(values, dict):
                path.write_bytes(data)
                ConfigFile.read(path)
                message = "what is no JSON object was read"
                raise Finding(message)
            if "architectures" in values:
                check(_shape(ConfigFile(values, "config.json")))
            else:
                path.write_bytes(data)
                _read_files(ModelFiles(folder, ConfigFile(values, "config.json")), tokenizer)
        except (CheckpointError, UnsupportedModel) as error:
            return refused(error)
        return "read"

    return run


class _Template:
    """Stands for a chat template: compiling one takes longer than all the rest."""

    def __init__(self, source: str, tokenizer: Any, variables: Any) -> None:
        assert isinstance(source, str)
        assert all(isinstance(text, str) for text in variables.values())


def _read_files(files: ModelFiles, tokenizer: Any) -> None:
    files.generation_defaults()
    files.chat_template(tokenizer, None)
    ends = files.stop_token_ids(tokenizer, 300)
    assert all(0 <= token < 300 for token in ends)


def _shape(config: ConfigFile) -> ModelShape:
    if says_packed(config):
        return shape_of(section_of(config))
    return find_family(config).read_plan(config).shape


def check(shape: ModelShape) -> None:
    """What is accepted can be computed."""
    if shape.head_dim <= 1024:
        with np.errstate(all="ignore"):
            frequencies = shape.rope.frequencies(shape.head_dim, shape.max_context)
        if not (np.isfinite(frequencies).all() and math.isfinite(shape.rope.scale)):
            message = f"angles that are not finite: {shape.rope}"
            raise Finding(message)
    numbers = (shape.embedding_scale, shape.residual_scale, shape.logit_scale, shape.rms_norm_eps)
    if not all(map(math.isfinite, numbers)):
        message = f"scales that are not finite: {numbers}"
        raise Finding(message)
    if min(map(min, shape.linear_shapes.values())) < 1:
        message = f"an empty matrix: {shape.linear_shapes}"
        raise Finding(message)
    assert min(shape.norm_sizes.values()) >= 1


def seeds() -> Sequence[bytes]:
    """One sound config of each family."""
    sizes = {
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 300,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
    }
    small: dict[str, Any] = {
        "eos_token_id": [257, 258],
        "temperature": 0.6,
        "top_k": 40,
        "top_p": 0.9,
        "eos_token": {"content": "<|eot_id|>"},
        "chat_template": [{"name": "default", "template": "{{ messages }}"}],
    }
    quantization = {
        "quant_method": "bitnet",
        "linear_class": "autobitlinear",
        "quantization_mode": "offline",
        "modules_to_not_convert": ["lm_head"],
    }
    bitnet, legacy, llama, qwen, minicpm, packed = ([name] for name in _ARCHITECTURES)
    scale_in_two = {"scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 32}
    ropes: list[dict[str, Any]] = [
        {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4},
        {"rope_type": "yarn", "factor": 4, "beta_fast": 32, "mscale": 1, "mscale_all_dim": 1},
        {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [2.0] * 8},
        {"type": "linear", "factor": 2.0},
    ]
    ropes[0]["original_max_position_embeddings"] = 128
    converted = {
        "num_layers": 2,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 16,
        "vocab_size": 300,
        "max_context": 512,
        "activation": "silu",
        "biases": ["q"],
        "rope": {"theta": 10000.0, "scaling": "yarn", "factor": 2.0, "original_context": 64},
    }
    configs: list[dict[str, Any]] = [
        {**sizes, "architectures": bitnet, "hidden_act": "relu2"},
        {**sizes, "architectures": legacy, "hidden_act": "silu", "weight_bits": 1, "input_bits": 8},
        *(
            {**sizes, "architectures": llama, "hidden_act": "silu", "rope_scaling": r}
            for r in ropes
        ),
        {**sizes, "architectures": qwen, "hidden_act": "silu", "rope_parameters": ropes[1]},
        {**sizes, "architectures": minicpm, "hidden_act": "silu", **scale_in_two},
        {**sizes, "architectures": packed, "tercet": {"format": 1, "shape": converted}},
    ]
    configs += [small, {**small, "chat_template": "{{ messages }}", "do_sample": False}]
    configs[0]["quantization_config"] = quantization
    configs[2]["quantization_config"] = {**quantization, "use_rms_norm": True}
    return [json.dumps(config).encode() for config in configs]


TARGET = Target(
    "config",
    open_target,
    json_mutator(_WORDS, _VALUES),
    seeds,
    guided_by=(
        "tercet_engine.families",
        "tercet_engine.model_",
        "tercet_engine.rope",
        "tercet_engine.packed.format",
    ),
)
