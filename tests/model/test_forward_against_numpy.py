"""The C++ forward pass against an independent one, on small checkpoints.

A single linear layer must agree to 1e-6 of the largest value: its integer sums are exact and only
the last multiplications round. Whole networks cannot be compared so tightly. An activation that
lies on the border between two int8 values falls to one side or the other by a last bit, and what
follows then differs by a percent or so; so the bounds there are 2 % of the largest logit, the
direction of the logits (cosine), and the likeliest token.

Against transformers in float32 our keys and values are kept in float32 too. With the default, a
bfloat16 cache, we are as far from it as that rounding moves it, which is less than its own bfloat16
run is: up to 3.7 % on these models.
"""

from pathlib import Path

import numpy as np
import pytest

from tercet_engine import _core
from tercet_engine.model_loader import LoadedModel
from tests.model.running import load
from tests.oracle.decoder_numpy import Decoder, Floats
from tests.oracle.make_tiny import random_checkpoint

LINEARS = {
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


@pytest.fixture(params=_core.supported_kernels())
def kernels(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def golden(tiny_checkpoint: Path) -> dict[str, Floats]:
    return dict(np.load(tiny_checkpoint / "golden.npz"))


def logits(model: LoadedModel, tokens: list[int], kv_type: str = "bf16") -> Floats:
    """Logits after every token, each computed from the start: float32 [num_tokens, vocab]."""
    core, rows = model.runner.model, []
    cache = _core.KVCache(core, 8, kind=kv_type)
    table = np.array([[5, 2, 7, 0, 1, 3, 6, 4]], np.int32)
    for count in range(1, len(tokens) + 1):
        chunk = np.array(tokens[:count], np.int32)
        starts, zero = np.array([0, count], np.int32), np.array([0], np.int32)
        core.forward(cache, chunk, starts, zero, table, starts[1:] - 1)
        rows.append(core.logits()[0])
    return np.array(rows)


def assert_close(ours: Floats, theirs: Floats, share: float) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * np.abs(theirs).max())
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / lengths).min() > 0.999
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


@pytest.mark.parametrize("name", LINEARS)
def test_a_linear_layer_gives_what_transformers_gives(
    tiny_checkpoint: Path, golden: dict[str, Floats], kernels: str, name: str
) -> None:
    full_name = f"model.layers.0.{LINEARS[name]}"
    model = load(tiny_checkpoint, kernels=kernels).runner.model
    ours = model.apply_linear(0, name, np.ascontiguousarray(golden[f"in.{full_name}"]))
    theirs = golden[f"out.{full_name}"]

    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


def test_logits_are_those_of_the_numpy_model(
    tiny_checkpoint: Path, golden: dict[str, Floats], kernels: str
) -> None:
    tokens = golden["ids"].tolist()
    theirs = Decoder(tiny_checkpoint, rounds_cache=True).logits(tokens)

    assert_close(logits(load(tiny_checkpoint, kernels=kernels), tokens), theirs, share=0.02)


@pytest.mark.parametrize("head", ["bf16", "int8"])
def test_logits_are_those_of_transformers(
    tiny_checkpoint: Path, golden: dict[str, Floats], kernels: str, head: str
) -> None:
    model = load(tiny_checkpoint, kernels=kernels, head=head)

    ours = logits(model, golden["ids"].tolist(), kv_type="f32")

    assert_close(ours, golden["hf_f32"], share=0.02)


def test_a_bfloat16_cache_moves_logits_less_than_bfloat16_moves_transformers(
    tiny_checkpoint: Path, golden: dict[str, Floats]
) -> None:
    ours = logits(load(tiny_checkpoint), golden["ids"].tolist())

    moved = np.abs(ours - golden["hf_f32"]).max()
    assert moved < np.abs(golden["hf_bf16"] - golden["hf_f32"]).max()
    np.testing.assert_array_equal(ours.argmax(axis=1), golden["hf_f32"].argmax(axis=1))


@pytest.mark.parametrize("form", ["packed", "masters"])
@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden": 96, "num_heads": 6, "num_kv_heads": 1, "intermediate": 100},
        {"hidden": 80, "num_heads": 5, "num_kv_heads": 5, "intermediate": 68, "vocab_size": 77},
        {"hidden": 512, "num_heads": 4, "num_kv_heads": 2, "intermediate": 260, "num_layers": 1},
    ],
)
def test_models_of_odd_sizes_are_computed_alike(
    tmp_path: Path, form: str, sizes: dict[str, int], kernels: str
) -> None:
    folder = random_checkpoint(form, seed=3, **sizes).write(tmp_path)
    tokens = list(range(1, 77, 3))
    theirs = Decoder(folder, rounds_cache=True).logits(tokens)

    assert_close(logits(load(folder, kernels=kernels), tokens), theirs, share=0.02)


def test_the_int8_head_is_close_to_the_bf16_head(
    tiny_checkpoint: Path, golden: dict[str, Floats]
) -> None:
    tokens = golden["ids"].tolist()
    exact = logits(load(tiny_checkpoint), tokens)

    assert_close(logits(load(tiny_checkpoint, head="int8"), tokens), exact, share=0.01)
