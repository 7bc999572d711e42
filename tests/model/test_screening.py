"""Tokens drawn from half of the head are those of the whole: on the embedded model's own logits.

Asking for log-probabilities makes the whole head be read and changes no draw, so every draw is made
twice. What is drawn depends on the seeds, temperatures and prompts below alone.
"""

import numpy as np
import numpy.typing as npt
import pytest

from tercet_engine import _core
from tercet_engine.hub import EMBEDDED_MODEL
from tests.model.running import load
from tests.model.test_sampling import sample
from tests.repeats import repeats

TEMPERATURES = (0, 0.3, 0.7, 1, 1.5)
ROWS = 64


@pytest.fixture(scope="module")
def model() -> _core.Model:
    return load(EMBEDDED_MODEL, head="int8").runner.model


def leave_outputs(model: _core.Model, rng: np.random.Generator) -> None:
    """Forward a random prompt; every token is an output."""
    model.forward(
        _core.KVCache(model, ROWS // 16),
        rng.integers(0, 4096, ROWS, dtype=np.int32),
        np.array([0, ROWS], np.int32),
        np.array([0], np.int32),
        np.arange(ROWS // 16, dtype=np.int32)[None],
        np.arange(ROWS, dtype=np.int32),
    )


def changes(rng: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    """Penalties and biases of a few tokens for each row."""
    starts = np.arange(ROWS + 1, dtype=np.int32) * 6
    tokens = np.concatenate([rng.choice(4096, 6, replace=False) for _ in range(ROWS)])
    return {
        "repetition_penalty": np.full(ROWS, 1.2, np.float32),
        "seen_starts": starts,
        "seen_tokens": tokens.astype(np.int32),
        "presence_penalty": np.full(ROWS, 0.4, np.float32),
        "frequency_penalty": np.full(ROWS, 0.2, np.float32),
        "count_starts": starts,
        "count_tokens": tokens.astype(np.int32),
        "counts": rng.integers(1, 4, tokens.size, dtype=np.int32),
        "bias_starts": starts,
        "bias_tokens": tokens[::-1].astype(np.int32),
        "biases": rng.normal(0, 3, tokens.size).astype(np.float32),
    }


def draw_twice(model: _core.Model, rounds: int) -> None:
    rng = np.random.default_rng(1)
    for number in range(rounds):
        if number % 16 == 0:
            leave_outputs(model, rng)
        settings: dict[str, npt.NDArray[np.generic]] = {
            "temperature": np.full(ROWS, TEMPERATURES[number % 5], np.float32),
            "seed": rng.integers(0, 2**63, ROWS, dtype=np.uint64),
        }
        if number % 2:
            settings |= changes(rng)
        whole = sample(model, ROWS, **settings, num_logprobs=np.zeros(ROWS, np.int32))
        np.testing.assert_array_equal(sample(model, ROWS, **settings).tokens, whole.tokens)


def test_a_draw_from_half_of_the_head_is_that_of_the_whole(model: _core.Model) -> None:
    before = model.head_stats()

    draw_twice(model, 40)

    after = model.head_stats()
    screened = after["screened"] - before["screened"]
    assert screened + after["undecided"] - before["undecided"] == 40 * ROWS
    assert screened > 20 * ROWS
    assert after["finished"] - before["finished"] < screened * 4096 / 8


@pytest.mark.slow
def test_a_million_draws_from_half_of_the_head_are_those_of_the_whole(model: _core.Model) -> None:
    draw_twice(model, repeats(1_000_000 // ROWS + 1))
