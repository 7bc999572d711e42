"""The engine's angles against those of another implementation, written pair by pair."""

import dataclasses
import decimal
from typing import Any

import numpy as np
import pytest

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.families.rope_config import read_rope
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.rope import Rope, RopeScaling
from tests.oracle.rope_numpy import rotation

LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 32,
    "long_factor": [1.0 + pair for pair in range(32)],
    "original_max_position_embeddings": 4096,
}


def config_of(parameters: dict[str, Any], spelling: str = "rope_parameters") -> ConfigFile:
    config = {"max_position_embeddings": 131_072, "rope_theta": 500_000.0, spelling: parameters}
    return ConfigFile(config, "config.json")


def rope_of(config: ConfigFile) -> Rope:
    return read_rope(config, theta=10_000.0, head_dim=64, max_context=131_072)


@pytest.mark.parametrize("spelling", ["rope_parameters", "rope_scaling"])
@pytest.mark.parametrize(
    "parameters",
    [
        {"rope_type": "default"},
        {"type": "linear", "factor": 4},
        LLAMA3,
        YARN,
        YARN | {"beta_fast": 16, "beta_slow": 2, "truncate": False},
        YARN | {"mscale": 1.0, "mscale_all_dim": 0.5},
        YARN | {"attention_factor": 0.75},
        {"type": "yarn", "original_max_position_embeddings": 4096},
        LONGROPE,
        LONGROPE | {"rope_type": "su", "original_max_position_embeddings": 131_072},
        LONGROPE | {"attention_factor": 1.5},
    ],
)
def test_every_rule_turns_heads_by_the_angles_of_its_paper(
    parameters: dict[str, Any], spelling: str
) -> None:
    config = config_of(parameters, spelling)
    rope = rope_of(config)
    angles, scale = rotation(dict(config.values), 64)

    np.testing.assert_allclose(rope.frequencies(64, 131_072), angles, rtol=1e-12)
    assert rope.scale == pytest.approx(scale, rel=1e-12)


# Of 625,001 and 100,001 a C library's powers differ between CPUs with fused operations and without.
@pytest.mark.parametrize("theta", [1.0, 10_000.0, 500_000.0, 625_001.0, 100_001.0])
@pytest.mark.parametrize("head_dim", [64, 80, 128, 256])
def test_frequencies_are_the_nearest_doubles_on_every_cpu(theta: float, head_dim: int) -> None:
    exact = decimal.Context(prec=50)
    wanted = [
        float(exact.power(decimal.Decimal(theta), -decimal.Decimal(2 * pair / head_dim)))
        for pair in range(head_dim // 2)
    ]

    assert Rope(theta=theta).frequencies(head_dim, 4096).tolist() == wanted


def test_longrope_takes_the_short_factors_where_no_longer_text_is_served() -> None:
    rope = rope_of(config_of(LONGROPE))

    assert rope.frequencies(64, 4096)[-1] == pytest.approx(500_000 ** (-62 / 64))
    assert rope.frequencies(64, 4097)[-1] == pytest.approx(500_000 ** (-62 / 64) / 32)


def test_an_original_context_outside_the_section_comes_first() -> None:
    config = config_of(YARN)
    outside = ConfigFile(config.values | {"original_max_position_embeddings": 1024}, config.name)

    assert rope_of(outside) == dataclasses.replace(rope_of(config), original_context=1024)


def test_a_base_inside_the_section_comes_before_the_one_outside() -> None:
    assert rope_of(config_of({"rope_theta": 123.0})) == Rope(theta=123.0)
    assert rope_of(config_of({})) == Rope(theta=500_000.0)
    assert rope_of(ConfigFile({}, "config.json")) == Rope(theta=10_000.0)


def test_both_spellings_may_say_the_same() -> None:
    config = config_of(YARN)
    both = ConfigFile(config.values | {"rope_scaling": YARN}, config.name)

    assert rope_of(both).scaling is RopeScaling.YARN


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rope_type": "dynamic", "factor": 2}, "'dynamic' .its angles change as a text grows"),
        ({"rope_type": "proportional"}, "'proportional'; supported: default, linear, llama3, yarn"),
        ({"rope_type": "default", "factor": 2}, "factor is 2; known for 'default' are"),
        (YARN | {"beta": 3}, "beta is 3; known for 'yarn'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5: heads that turn in part"),
        ({"full_attention": {"rope_type": "yarn"}}, "full_attention is"),
    ],
)
def test_an_unknown_rule_is_refused_in_words(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        rope_of(config_of(parameters))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"rope_type": "linear"}, "factor is missing"),
        ({"rope_type": "linear", "factor": 0.5}, "factor must be a number from 1"),
        (LLAMA3 | {"low_freq_factor": 4.0}, "low_freq_factor must be less than high_freq_factor"),
        (YARN | {"beta_fast": 0.5}, "beta_fast must be at least beta_slow, 1"),
        (LONGROPE | {"long_factor": [1.0]}, "long_factor must be a list of 32 numbers from"),
        (LONGROPE | {"short_factor": [0.0] * 32}, "short_factor must be a list of 32 numbers"),
        (LONGROPE | {"short_factor": None}, "short_factor must be a list"),
    ],
)
def test_a_wrong_value_is_refused_with_what_was_expected(
    parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        rope_of(config_of(parameters))


def test_spellings_that_contradict_each_other_are_refused() -> None:
    config = config_of(YARN)
    both = ConfigFile(config.values | {"rope_scaling": LLAMA3}, config.name)

    with pytest.raises(CheckpointError, match="the same as rope_parameters"):
        rope_of(both)
