"""What `Model.sample` does to logits, one rule at a time, against the rule written in numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tercet_engine import _core
from tercet_engine.checkpoint import Checkpoint, widen
from tests.model.running import load
from tests.oracle.goldens import DATA

FOLDER = DATA / "tiny256" / "bitnet_offline"
PROMPT = np.arange(3, 43, dtype=np.int32)
ROWS = len(PROMPT)


def forward(model: _core.Model, outputs: Sequence[int] | None = None) -> None:
    """Leave the outputs of one prompt: all of its tokens, or these."""
    wanted = range(ROWS) if outputs is None else outputs
    model.forward(
        _core.KVCache(model, 3),
        PROMPT,
        np.array([0, ROWS], np.int32),
        np.array([0], np.int32),
        np.array([[2, 0, 1]], np.int32),
        np.array(wanted, np.int32),
    )


def sample(model: _core.Model, rows: int = ROWS, **changed: npt.NDArray[Any]) -> _core.Samples:
    """Sample greedily with neutral parameters, but for those given."""
    none, starts = np.empty(0, np.int32), np.zeros(rows + 1, np.int32)
    neutral = {
        "temperature": np.zeros(rows, np.float32),
        "top_k": np.zeros(rows, np.int32),
        "top_p": np.ones(rows, np.float32),
        "min_p": np.zeros(rows, np.float32),
        "seed": np.arange(rows, dtype=np.uint64),
        "choice": np.zeros(rows, np.int32),
        "position": np.arange(rows, dtype=np.int32),
        "repetition_penalty": np.ones(rows, np.float32),
        "seen_starts": starts,
        "seen_tokens": none,
        "presence_penalty": np.zeros(rows, np.float32),
        "frequency_penalty": np.zeros(rows, np.float32),
        "count_starts": starts,
        "count_tokens": none,
        "counts": none,
        "bias_starts": starts,
        "bias_tokens": none,
        "biases": np.empty(0, np.float32),
        "mask_rows": np.full(rows, -1, np.int32),
        "masks": np.empty((0, 0), np.uint32),
        "targets": np.full(rows, -1, np.int32),
        "num_logprobs": np.full(rows, -1, np.int32),
    }
    return model.sample(**{**neutral, **changed})


def mask_of(allowed: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Masks, [n, vocab] as bits."""
    padded = np.pad(allowed, ((0, 0), (0, -allowed.shape[1] % 32)))
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint32)


@pytest.fixture(scope="module", params=_core.supported_kernels())
def model(request: pytest.FixtureRequest) -> _core.Model:
    core: _core.Model = load(FOLDER, kernels=request.param, head="int8").runner.model
    forward(core)
    return core


def test_greedy_takes_the_largest_logit(model: _core.Model) -> None:
    logits = model.logits()

    np.testing.assert_array_equal(sample(model).tokens, logits.argmax(axis=1))


def test_a_repetition_penalty_divides_what_is_positive_and_multiplies_the_rest(
    model: _core.Model,
) -> None:
    logits = model.logits()
    seen = np.sort(np.argsort(-logits, axis=1)[:, :5], axis=1).astype(np.int32)
    penalty = np.linspace(0.5, 2, ROWS, dtype=np.float32)

    samples = sample(
        model,
        repetition_penalty=penalty,
        seen_starts=np.arange(ROWS + 1, dtype=np.int32) * 5,
        seen_tokens=seen.ravel(),
    )

    for row, tokens, p in zip(logits, seen, penalty, strict=True):
        row[tokens] = np.where(row[tokens] > 0, row[tokens] / p, row[tokens] * p)
    np.testing.assert_array_equal(samples.tokens, logits.argmax(axis=1))


def test_the_largest_allowed_logit_is_taken_whatever_is_biased(model: _core.Model) -> None:
    logits = model.logits()
    allowed = np.random.default_rng(1).random((3, logits.shape[1])) < 0.1
    best = logits.argmax(axis=1).astype(np.int32)

    samples = sample(
        model,
        masks=mask_of(allowed),
        mask_rows=np.arange(ROWS, dtype=np.int32) % 4 - 1,
        bias_starts=np.arange(ROWS + 1, dtype=np.int32),
        bias_tokens=best,
        biases=np.full(ROWS, 1e6, np.float32),
    )

    for number, row in enumerate(logits):
        row[best[number]] += 1e6
        if number % 4:
            row[~allowed[number % 4 - 1]] = -np.inf
    np.testing.assert_array_equal(samples.tokens, logits.argmax(axis=1))


def test_log_probabilities_are_those_of_the_logits(model: _core.Model) -> None:
    logits = model.logits().astype(np.float64)
    exact = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    targets = np.arange(ROWS, dtype=np.int32)

    samples = sample(model, targets=targets, num_logprobs=np.full(ROWS, 4, np.int32))

    order = np.argsort(-logits, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(samples.tokens, targets)
    np.testing.assert_allclose(samples.token_logprobs, exact[targets, targets], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(samples.top_tokens, order)
    wanted = np.take_along_axis(exact, order, axis=1)
    np.testing.assert_allclose(samples.top_logprobs, wanted, rtol=0, atol=1e-5)


def test_a_row_does_not_depend_on_what_else_is_asked(model: _core.Model) -> None:
    asked = np.full(ROWS, -1, np.int32)
    asked[7], asked[33] = 20, 3
    settings = {
        "temperature": np.full(ROWS, 0.8, np.float32),
        "top_p": np.linspace(0.5, 1, ROWS, dtype=np.float32),
    }
    together = sample(model, **settings, num_logprobs=asked)
    assert together.top_tokens.shape == (ROWS, 20)
    try:
        for row in (7, 20, 33):
            forward(model, [row])
            alone = sample(
                model,
                1,
                temperature=settings["temperature"][row : row + 1],
                top_p=settings["top_p"][row : row + 1],
                seed=np.array([row], np.uint64),
                position=np.array([row], np.int32),
                num_logprobs=asked[row : row + 1],
            )
            count = max(asked[row], 0)
            assert alone.tokens[0] == together.tokens[row]
            np.testing.assert_array_equal(alone.token_logprobs[0], together.token_logprobs[row])
            np.testing.assert_array_equal(alone.top_tokens[0], together.top_tokens[row, :count])
            np.testing.assert_array_equal(alone.top_logprobs[0], together.top_logprobs[row, :count])
    finally:
        forward(model)


def test_logits_are_the_hidden_states_times_the_head() -> None:
    model = load(FOLDER, head="bf16").runner.model
    forward(model)
    checkpoint = Checkpoint(FOLDER)
    table = checkpoint.table(checkpoint.head_name)
    head = widen(table.data.view(np.uint16).reshape(table.rows, table.cols))

    hidden = model.hidden(np.arange(ROWS, dtype=np.int32))

    logits = hidden @ head.T

    assert hidden.shape == (ROWS, 256)
    np.testing.assert_allclose(model.logits(), logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"masks": np.zeros((1, 10), np.uint32)}, "mask 0 allows no token"),
        ({"masks": np.ones((1, 3), np.uint32)}, r"masks must be \[n, 10\]"),
        ({"mask_rows": np.zeros(ROWS, np.int32)}, "mask_rows names mask 0 of 0"),
        ({"targets": np.full(ROWS, 320, np.int32)}, "target 320 is not in the vocabulary"),
        ({"num_logprobs": np.full(ROWS, 129, np.int32)}, "num_logprobs is 129; -1 to 128"),
        ({"repetition_penalty": np.zeros(ROWS, np.float32)}, "repetition_penalty must be above 0"),
        ({"temperature": np.zeros(3, np.float32)}, "parameters for 3 rows; .* left 40"),
    ],
)
def test_wrong_parameters_are_refused_in_words(
    model: _core.Model, changed: dict[str, npt.NDArray[Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        sample(model, **changed)


def test_arrays_of_another_type_are_refused(model: _core.Model) -> None:
    with pytest.raises(TypeError):
        sample(model, masks=np.zeros((0, 0), np.int64))
