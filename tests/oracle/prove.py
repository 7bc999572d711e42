"""The proof that the oracles compute what transformers computes.

    python -m tests.oracle.prove            # compare; needs torch and transformers
    python -m tests.oracle.prove --write    # make the checkpoints and their golden.npz anew

Each small checkpoint is run by transformers in float32 and bfloat16 (eager attention, one thread),
and by the NumPy oracle. What is printed: the largest difference of logits, and of each linear layer
fed with transformers' own input, both over the largest magnitude. Whole networks may differ by a
percent: an activation on the border of two int8 values falls to one side or the other.

Two families have no class in transformers under their own name and are run by one that computes
the same: the first BitNet by today's with its norms renamed and SiLU, MiniCPM by Granite, which has
the same three multipliers. Last, the tables of rotary positions are held against transformers', for
every rule.
"""

import argparse
import importlib.util
import os
import sys
import tempfile
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import numpy as np
import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from tests.oracle import goldens, layouts
from tests.oracle.decoder_numpy import Decoder, Floats
from tests.oracle.make_tiny import TinyCheckpoint

TOKENS = [1, 5, 17, 300, 42, 42, 7, 199, 3, 250, 11, 64]
ENGINE_ROPE = Path(__file__).parents[2] / "engine" / "tercet_engine" / "rope.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="make data/families anew")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}\n")
    print("| checkpoint | logits, float32 | one linear, float32 | logits, bfloat16 | argmax |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in (*goldens.BITNETS, *goldens.FAMILIES):
            if options.write and name in goldens.FAMILIES:
                kind = name.removeprefix("families/")
                goldens.keep(layouts.make(kind).write(Path(folder) / "made" / kind), name)
            prove(name, Path(folder), write=options.write and name in goldens.FAMILIES)
    print("\n| positions | largest relative difference of angles | of the scale |\n|---|---|---|")
    for rule in ROPES:
        prove_rope(rule)


def prove(name: str, folder: Path, *, write: bool) -> None:
    """Compare one checkpoint; print a row."""
    checkpoint = goldens.unpack(name, folder)
    oracle = Decoder(checkpoint)
    theirs = as_transformers_knows_it(checkpoint, folder)
    exact, inside = run(theirs, torch.float32)
    rounded, _ = run(theirs, torch.bfloat16)
    ours = oracle.logits(TOKENS)
    largest = np.abs(exact).max()
    linears = [
        float(np.abs(oracle.linear(linear, x) - y).max() / np.abs(y).max())
        for linear, (x, y) in inside.items()
    ]
    same = (ours.argmax(axis=1) == exact.argmax(axis=1)).mean()
    print(
        f"| {name} | {np.abs(ours - exact).max() / largest:.1e} | {max(linears):.1e} "
        f"| {np.abs(ours - rounded).max() / largest:.1e} | {same:.0%} |"
    )
    if write:
        arrays: dict[str, Any] = {
            "ids": np.array(TOKENS, np.int32),
            "hf_f32": exact,
            "hf_bf16": rounded,
            "made_with": np.array(provenance()),
        }
        for linear, (x, y) in inside.items():
            if ".layers.0." in linear:
                arrays |= {f"in.{linear}": x, f"out.{linear}": y}
        np.savez_compressed(goldens.DATA / name / "golden.npz", **arrays)


def provenance() -> str:
    return (
        f"transformers {transformers.__version__}, torch {torch.__version__}, "
        f"Python {sys.version.split()[0]}, {datetime.now(UTC):%Y-%m-%d}"
    )


def as_transformers_knows_it(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint under names that transformers has a class for."""
    config = layouts.read_config(checkpoint)
    match config["architectures"]:
        case ["BitnetForCausalLM"]:
            return rewritten(checkpoint, folder, "BitNetForCausalLM", bitnet_of_today(config))
        case ["MiniCPMForCausalLM"]:
            return rewritten(checkpoint, folder, "GraniteForCausalLM", granite(config))
        case ["LlamaForCausalLM"] if config.get("is_bitnet_config"):
            return rewritten(checkpoint, folder, "LlamaForCausalLM", {ONLINE[0]: ONLINE[1]})
    return checkpoint


ONLINE = (
    "quantization_config",
    {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"},
)
NEW_NAMES = {"inner_attn_ln": "attn_sub_norm", "ffn_layernorm": "ffn_sub_norm"}


def bitnet_of_today(config: dict[str, Any]) -> dict[str, Any]:
    return {"model_type": "bitnet", ONLINE[0]: ONLINE[1], "rope_theta": config["rope_theta"]}


def granite(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "model_type": "granite",
        "embedding_multiplier": config["scale_emb"],
        "residual_multiplier": config["scale_depth"] / config["num_hidden_layers"] ** 0.5,
        "attention_multiplier": config["head_dim"] ** -0.5,
        "logits_scaling": config["hidden_size"] / config["dim_model_base"],
    }


def rewritten(checkpoint: Path, folder: Path, architecture: str, changes: dict[str, Any]) -> Path:
    """A copy with another architecture, further keys and today's names of norms."""
    config = layouts.read_config(checkpoint) | changes | {"architectures": [architecture]}
    tensors = layouts.read_stored(checkpoint / "model.safetensors")
    for old, new in NEW_NAMES.items():
        tensors = {name.replace(old, new): stored for name, stored in tensors.items()}
    return TinyCheckpoint(config, tensors).write(folder / "as" / checkpoint.name)


def run(checkpoint: Path, dtype: torch.dtype) -> tuple[Floats, dict[str, tuple[Floats, Floats]]]:
    """Logits after every token, and what goes into and comes out of each linear layer."""
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint, dtype=dtype, attn_implementation="eager"
    ).eval()
    if dtype == torch.float32:  # which `dtype` alone does not bring about in packed models
        for module in model.modules():
            if type(module).__name__ == "BitLinear":
                module.dtype = torch.float32
        torch.nn.Module.float(model)
    inside: dict[str, tuple[Floats, Floats]] = {}

    def note(name: str, given: torch.Tensor, made: torch.Tensor) -> None:
        inside[name] = (given[0].float().numpy(), made[0].float().numpy())

    for name, module in model.named_modules():
        if name.endswith("_proj"):
            module.register_forward_hook(
                lambda _, given, made, name=name: note(name, given[0].detach(), made.detach())
            )
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0].float().numpy()
    return logits, inside


ROPES: list[dict[str, Any]] = [
    {"rope_type": "default"},
    {"rope_type": "linear", "factor": 4.0},
    layouts.LLAMA3 | {"factor": 32.0, "original_max_position_embeddings": 8192},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768},
    {
        "rope_type": "yarn",
        "factor": 40.0,
        "mscale": 1.0,
        "mscale_all_dim": 0.5,
        "beta_fast": 16.0,
        "beta_slow": 2.0,
        "truncate": False,
        "original_max_position_embeddings": 4096,
    },
    {
        "rope_type": "yarn",
        "factor": 8.0,
        "attention_factor": 0.75,
        "original_max_position_embeddings": 256,
    },
    {
        "rope_type": "longrope",
        "short_factor": [1.0 + 0.01 * pair for pair in range(64)],
        "long_factor": [1.0 + 0.5 * pair for pair in range(64)],
        "original_max_position_embeddings": 4096,
    },
]
MAX_CONTEXT = 131_072


def prove_rope(rule: dict[str, Any]) -> None:
    """Hold the engine's table against transformers'; print a row.

    The engine's is made in double, transformers' in float32: they differ by its rounding.
    """
    config = AutoConfig.for_model(
        "llama",
        hidden_size=512,
        num_attention_heads=4,
        max_position_embeddings=MAX_CONTEXT,
        rope_parameters={"rope_theta": 1e6} | rule,
    )
    if rule["rope_type"] == "default":
        theirs, their_scale = 1e6 ** (-torch.arange(0, 128, 2).double() / 128), 1.0
    else:
        compute = ROPE_INIT_FUNCTIONS[rule["rope_type"]]
        theirs, their_scale = compute(config, torch.device("cpu"), seq_len=MAX_CONTEXT)
    ours = engine_rope(rule)
    angles = ours.frequencies(128, MAX_CONTEXT)
    difference = np.abs(angles / theirs.double().numpy() - 1).max()
    told = ", ".join(f"{key} {value}" for key, value in rule.items() if not isinstance(value, list))
    print(f"| {told} | {difference:.1e} | {abs(ours.scale / their_scale - 1):.1e} |")


def engine_rope(rule: dict[str, Any]) -> Any:
    """The engine's rule, from its one file; what reads configs is tested beside the engine."""
    spec = importlib.util.spec_from_file_location("rope", ENGINE_ROPE)
    assert spec is not None
    assert spec.loader is not None
    rope = importlib.util.module_from_spec(spec)
    sys.modules["rope"] = rope
    spec.loader.exec_module(rope)
    original = rule.get("original_max_position_embeddings", 0)
    kind = rule["rope_type"]
    stretch = MAX_CONTEXT / original if kind == "longrope" else 1.0
    attention_factor = rule.get("attention_factor")
    if kind == "yarn" and attention_factor is None:
        weights = (rule.get("mscale"), rule.get("mscale_all_dim"))
        attention_factor = rope.yarn_attention_factor(rule["factor"], *weights)
    return rope.Rope(
        theta=1e6,
        scaling=rope.RopeScaling("none" if kind == "default" else kind),
        factor=rule.get("factor", stretch),
        original_context=original,
        attention_factor=attention_factor,
        short_factors=tuple(rule.get("short_factor", ())),
        long_factors=tuple(rule.get("long_factor", ())),
        **{key: rule[key] for key in KEYS_OF_THE_SAME_NAME if key in rule},
    )


KEYS_OF_THE_SAME_NAME = (
    "low_freq_factor",
    "high_freq_factor",
    "beta_fast",
    "beta_slow",
    "truncate",
)


if __name__ == "__main__":
    main()
