"""What rounding activations costs in fidelity, in models that define none.

    python -m benchmarks.activation_fidelity               # a random model with outliers
    python -m benchmarks.activation_fidelity FOLDER        # a checkpoint of plain ternary numbers

Ternary-Bonsai, TriLM and BitCPM leave activations in floating point; kernels that multiply int8
want integers. The NumPy oracle computes the same tokens with activations in float32 and rounded in
several ways, head included, and logits are compared: the error is the root of the mean square of a
position's differences over the standard deviation of its exact logits.

The random model has Qwen3's layers and weights that are ternary in groups of 128. What makes
rounding hard in trained models are channels far larger than the rest: here one channel in 256 has
norm gains `--outlier` times as large, which makes it the largest of its token by far. Random
weights pass errors on from layer to layer without damping them, so the table tells which way is
better and by how much, not what a trained model loses.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tests.oracle.decoder_numpy import Decoder
from tests.oracle.layouts import float16, float32, ternary
from tests.oracle.make_tiny import LINEARS, Tensors, TinyCheckpoint
from tests.oracle.tensors_numpy import round_to_bfloat16

SEED: Final = 20_261_125
WHOLE_TOKEN: Final = 1 << 20
WAYS: Final = {
    "int8, a scale per token": (WHOLE_TOKEN, 8),
    "int8, per 128 columns": (128, 8),
    "int8, per 64 columns": (64, 8),
    "int8, per 32 columns": (32, 8),
    "12 bits, per 128 columns": (128, 12),
    "int16, per 128 columns": (128, 16),
}
"""Each way with integers: columns that share a scale, and bits."""

Floats = npt.NDArray[np.float32]


class InBfloat16(Decoder):
    """The same model with the input of every matrix rounded to bfloat16, as a measure."""

    def __init__(self, model: Decoder) -> None:
        self.__dict__.update(model.__dict__)

    def rounded(self, x: Floats) -> Floats:
        """Eight significant bits each, whatever is beside it."""
        return round_to_bfloat16(x)


def main() -> None:
    """Compute and print the table."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        model = options.folder or random_model(options).write(Path(folder))
        oracle = Decoder(model)
    if oracle.form != "dense":
        raise SystemExit(f"{model} defines its activations; there is nothing to choose")
    vocab_size = oracle.config["vocab_size"]
    tokens = np.random.default_rng(SEED).integers(0, vocab_size, options.tokens).tolist()
    exact = oracle.logits(tokens)
    print("| activations | error, mean | 99 % | largest | other likeliest token | divergence |")
    print("|---|---|---|---|---|---|")
    oracle.rounds_head = True
    for name, (group, bits) in WAYS.items():
        oracle.activation_group, oracle.largest_integer = group, 2 ** (bits - 1) - 1
        print_row(name, exact, oracle.logits(tokens))
    print_row("bfloat16", exact, InBfloat16(oracle).logits(tokens))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="a checkpoint in one file")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--hidden", type=int, default=1024, help="a multiple of 256")
    parser.add_argument("--outlier", type=float, default=20.0, help="gain of outlying channels")
    return parser.parse_args()


def random_model(options: argparse.Namespace) -> TinyCheckpoint:
    """Qwen3's proportions: three times as wide inside, heads of 128, a ternary head."""
    random = np.random.default_rng(SEED)
    hidden, heads = options.hidden, options.hidden // 128
    sizes = {"hidden": hidden, "attention": hidden, "keys": hidden // 2, "intermediate": 3 * hidden}
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": sizes["intermediate"],
        "num_hidden_layers": options.layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "head_dim": 128,
        "vocab_size": 8192,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "tie_word_embeddings": False,
    }

    def gains(size: int) -> tuple[str, npt.NDArray[Any]]:
        values = random.uniform(0.5, 1.5, size)
        values[random.permutation(size)[: size // 256]] *= options.outlier
        return float32(values)

    def matrix(rows: int, cols: int, spread: float) -> tuple[str, npt.NDArray[Any]]:
        return float16(ternary(random.standard_normal((rows, cols), np.float32) * spread, 128))

    tensors: Tensors = {
        "model.embed_tokens.weight": matrix(config["vocab_size"], hidden, 1.0),
        "lm_head.weight": matrix(config["vocab_size"], hidden, 1.0),
        "model.norm.weight": float32(random.uniform(1, 3, hidden) / hidden**0.5),
    }
    for layer in range(options.layers):
        prefix = f"model.layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}{norm}.weight"] = gains(hidden)
        for norm in ("q_norm", "k_norm"):
            tensors[f"{prefix}self_attn.{norm}.weight"] = float32(random.uniform(0.5, 1.5, 128))
        for module, (rows, cols) in LINEARS.items():
            weight = matrix(sizes[rows], sizes[cols], sizes[cols] ** -0.5)
            tensors[f"{prefix}{module}.weight"] = weight
    return TinyCheckpoint(config, tensors)


def print_row(name: str, exact: Floats, rounded: Floats) -> None:
    """One way's errors over all positions."""
    errors = np.sqrt(np.square(rounded - exact).mean(axis=1)) / exact.std(axis=1)
    other = (rounded.argmax(axis=1) != exact.argmax(axis=1)).mean()
    expected, found = log_softmax(exact), log_softmax(rounded)
    divergence = (np.exp(expected) * (expected - found)).sum(axis=1).mean()
    print(
        f"| {name} | {errors.mean():.3%} | {np.quantile(errors, 0.99):.3%} | {errors.max():.3%} "
        f"| {other:.2%} | {divergence:.1e} |"
    )


def log_softmax(logits: Floats) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


if __name__ == "__main__":
    main()
