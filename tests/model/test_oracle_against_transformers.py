"""The NumPy oracles against what transformers computed of the same checkpoints.

One linear layer fed with transformers' own input must agree to 1e-6 of the largest value. Where a
model rounds activations to int8, its logits may differ by a percent, see
test_forward_against_numpy.py; where it does not, they agree like a linear layer does, over a few
more operations.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.oracle import goldens
from tests.oracle.decoder_numpy import Decoder

EVERY = (*goldens.BITNETS, *goldens.FAMILIES)
PLAIN = [name for name in EVERY if name.endswith("_dense")]


@pytest.mark.parametrize("name", EVERY)
def test_linear_layers_are_those_of_transformers(
    checkpoints: Callable[[str], Path], name: str
) -> None:
    golden, oracle = goldens.golden(name), Decoder(checkpoints(name))
    linears = [key.removeprefix("in.") for key in golden if key.startswith("in.")]

    assert len(linears) == 7
    for linear in linears:
        theirs = golden[f"out.{linear}"]
        ours = oracle.linear(linear, golden[f"in.{linear}"])
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("name", EVERY)
def test_logits_are_those_of_transformers(checkpoints: Callable[[str], Path], name: str) -> None:
    golden = goldens.golden(name)
    ours, theirs = Decoder(checkpoints(name)).logits(golden["ids"].tolist()), golden["hf_f32"]

    share = 2e-6 if name in PLAIN else 0.02
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=share * np.abs(theirs).max())
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))


@pytest.mark.parametrize("name", PLAIN)
def test_rounding_activations_by_groups_moves_logits_as_little_as_bfloat16_does(
    checkpoints: Callable[[str], Path], name: str
) -> None:
    golden = goldens.golden(name)
    rounded = Decoder(checkpoints(name), activation_group=128).logits(golden["ids"].tolist())

    moved = np.square(rounded - golden["hf_f32"]).mean()
    assert 0 < moved < 1.25**2 * np.square(golden["hf_bf16"] - golden["hf_f32"]).mean()
