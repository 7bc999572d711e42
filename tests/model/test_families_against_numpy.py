"""The C++ forward pass of every family against an independent one and against transformers.

As in test_forward_against_numpy.py a linear layer must agree to 1e-6 of the largest value, and a
network of int8 activations to 2 %: one that lies on the border between two integers falls to one
side or the other by a last bit.

Models of plain numbers define no int8 activations; what the engine adds by rounding them to int8 in
groups is in the oracle too, and how far that is from transformers, which does not round, is bounded
by how far its own bfloat16 run is. Rounded to 16 bits, the default, they are as good as floats.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tercet_engine import CheckpointError, UnsupportedModel, _core
from tests.model.running import load
from tests.model.test_forward_against_numpy import LINEARS, logits
from tests.oracle import goldens
from tests.oracle.decoder_numpy import Decoder, Floats
from tests.oracle.layouts import LAYOUTS, float16, make

DENSE = ("families/llama_dense", "families/minicpm_dense", "families/qwen3_dense")
ADDED_TO_THE_RESIDUAL = ("o", "down")


@pytest.fixture(params=_core.supported_kernels())
def kernels(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=goldens.FAMILIES)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def assert_close(ours: Floats, theirs: Floats) -> None:
    """Within 2 % of the largest logit, and alike where that leaves no doubt who comes first."""
    tolerance = 0.02 * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / lengths).min() > 0.999
    second, first = np.partition(theirs, -2, axis=1)[:, -2:].T
    is_clear = first - second > tolerance
    assert is_clear.any()
    np.testing.assert_array_equal(ours.argmax(axis=1)[is_clear], theirs.argmax(axis=1)[is_clear])


def activation_group(name: str) -> int:
    """Columns of activations that share a scale where the model leaves them open; else 0."""
    return 128 if LAYOUTS[name.removeprefix("families/")].form == "dense" else 0


def test_the_grid_of_plain_numbers_is_found(checkpoints: Callable[[str], Path], name: str) -> None:
    layout = LAYOUTS[name.removeprefix("families/")]
    shape = load(checkpoints(name)).shape

    assert shape.weight_group == layout.scale_group
    assert shape.has_ternary_head is layout.has_ternary_tables


def test_linear_layers_are_those_of_the_numpy_model(
    checkpoints: Callable[[str], Path], name: str, kernels: str
) -> None:
    golden = goldens.golden(name)
    oracle = Decoder(checkpoints(name), activation_group=activation_group(name))
    model = load(checkpoints(name), kernels=kernels, activations="int8")

    assert model.runner.model.num_outliers == 0
    for short, module in LINEARS.items():
        full = f"model.layers.0.{module}"
        x = np.ascontiguousarray(golden[f"in.{full}"])
        # A branch is multiplied where it ends.
        multiplier = model.shape.residual_scale if short in ADDED_TO_THE_RESIDUAL else 1.0
        theirs = oracle.linear(full, x) * np.float32(multiplier)
        ours = model.runner.model.apply_linear(0, short, x)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("head", ["bf16", "int8"])
def test_logits_are_those_of_the_numpy_model(
    checkpoints: Callable[[str], Path], name: str, kernels: str, head: str
) -> None:
    tokens = goldens.golden(name)["ids"].tolist()
    has_ternary_head = LAYOUTS[name.removeprefix("families/")].has_ternary_tables
    oracle = Decoder(
        checkpoints(name),
        rounds_cache=True,
        activation_group=activation_group(name),
        rounds_head=has_ternary_head and head == "int8",
    )
    model = load(checkpoints(name), kernels=kernels, head=head, activations="int8")

    assert_close(logits(model, tokens), oracle.logits(tokens))


def test_logits_are_those_of_transformers(
    checkpoints: Callable[[str], Path], name: str, kernels: str
) -> None:
    golden = goldens.golden(name)
    model = load(checkpoints(name), kernels=kernels)

    ours = logits(model, golden["ids"].tolist(), kv_type="f32")

    assert_close(ours, golden["hf_f32"])


@pytest.mark.parametrize("dense", DENSE)
def test_rounding_activations_to_int8_moves_logits_as_little_as_bfloat16_moves_transformers(
    checkpoints: Callable[[str], Path], dense: str
) -> None:
    golden = goldens.golden(dense)
    model = load(checkpoints(dense), activations="int8")
    ours = logits(model, golden["ids"].tolist(), kv_type="f32")

    moved = np.square(ours - golden["hf_f32"]).mean()
    assert moved < 1.25**2 * np.square(golden["hf_bf16"] - golden["hf_f32"]).mean()


@pytest.mark.parametrize("dense", DENSE)
def test_linear_layers_of_16_bit_activations_are_those_of_floats(
    checkpoints: Callable[[str], Path], dense: str, kernels: str
) -> None:
    golden = goldens.golden(dense)
    oracle = Decoder(checkpoints(dense))
    model = load(checkpoints(dense), kernels=kernels)

    for short, module in LINEARS.items():
        full = f"model.layers.0.{module}"
        x = np.ascontiguousarray(golden[f"in.{full}"])
        multiplier = model.shape.residual_scale if short in ADDED_TO_THE_RESIDUAL else 1.0
        theirs = oracle.linear(full, x) * np.float32(multiplier)
        ours = model.runner.model.apply_linear(0, short, x)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())


def test_logits_of_16_bit_activations_are_those_of_transformers(
    checkpoints: Callable[[str], Path],
) -> None:
    golden = goldens.golden("families/qwen3_dense")
    model = load(checkpoints("families/qwen3_dense"), head="int8")  # its head is ternary

    ours = logits(model, golden["ids"].tolist(), kv_type="f32")

    largest = np.abs(golden["hf_f32"]).max()
    np.testing.assert_allclose(ours, golden["hf_f32"], rtol=0, atol=3e-4 * largest)


def test_an_ordinary_llama_is_refused_as_not_ternary(tmp_path: Path) -> None:
    masters = make("llama_masters")
    del masters.config["is_bitnet_config"]

    with pytest.raises(UnsupportedModel, match=r"q_proj.weight is not ternary: \d+.\d% of its"):
        load(masters.write(tmp_path))


def test_plain_numbers_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    dense = make("llama_dense")
    name = "model.layers.1.mlp.up_proj.weight"
    dense.tensors[name] = float16(np.full((256, 128), np.inf))

    with pytest.raises(CheckpointError, match=f"{name}: .*not finite"):
        load(dense.write(tmp_path))


def test_a_few_weights_that_are_on_no_grid_are_computed_as_they_are(tmp_path: Path) -> None:
    dense = make("qwen3_dense")
    name = "model.layers.0.self_attn.v_proj"
    dense.tensors[f"{name}.weight"][1][5, 17] *= 3
    folder = dense.write(tmp_path)
    x = np.random.default_rng(0).standard_normal((4, 256), np.float32)
    theirs = Decoder(folder, activation_group=128).linear(name, x)

    model = load(folder, activations="int8").runner.model
    assert model.num_outliers == 1
    ours = model.apply_linear(0, "v", x)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())
