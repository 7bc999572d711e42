import math

import pytest

from tercet_engine import InvalidSamplingParams, SamplingParams


@pytest.mark.parametrize(
    ("param", "value", "message"),
    [
        ("max_tokens", -1, "max_tokens must be at least 0; got -1"),
        ("temperature", -0.1, "temperature must be from 0 to 2; got -0.1"),
        ("temperature", 2.1, "from 0 to 2; got 2.1"),
        ("temperature", math.nan, "got nan"),
        ("top_p", 0.0, "top_p must be over 0 and at most 1; got 0.0"),
        ("top_p", 1.1, "got 1.1"),
        ("top_k", -2, "top_k must be -1, 0 or more; got -2"),
        ("top_k", 2**31, "top_k"),
        ("min_p", 1.5, "min_p must be from 0 to 1; got 1.5"),
        ("seed", -1, "seed must be from 0 to 18446744073709551615; got -1"),
        ("seed", 2**64, "seed"),
        ("presence_penalty", -2.5, "presence_penalty must be from -2 to 2; got -2.5"),
        ("frequency_penalty", math.inf, "frequency_penalty must be from -2 to 2; got inf"),
        ("repetition_penalty", 0.0, "repetition_penalty must be from 0.01 to 10; got 0.0"),
        ("repetition_penalty", 1e-50, "got 1e-50"),  # 0 as a float32, by which none can divide
        ("repetition_penalty", 10.5, "got 10.5"),
        ("logit_bias", {1: 101.0}, "logit_bias values must be from -100 to 100; got 101.0"),
        ("logit_bias", dict.fromkeys(range(1025), 0.0), "takes at most 1024 entries; got 1025"),
        ("stop", ("a",) * 17, "stop takes at most 16 entries; got 17"),
        ("stop", ("",), "stop strings must have 1 to 256 characters; got 0"),
        ("stop", ("a" * 257,), "got 257"),
        ("stop_token_ids", frozenset(range(65)), "takes at most 64 entries; got 65"),
        ("min_tokens", -1, "min_tokens must be at least 0; got -1"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_limit(
    param: str, value: object, message: str
) -> None:
    with pytest.raises(InvalidSamplingParams, match=message) as caught:
        SamplingParams(**{param: value})
    assert caught.value.param == param


def test_min_tokens_cannot_exceed_max_tokens() -> None:
    with pytest.raises(InvalidSamplingParams, match="at most max_tokens, 3; got 4"):
        SamplingParams(max_tokens=3, min_tokens=4)


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.0},
        {"temperature": 2, "top_p": 1e-9, "min_p": 1, "seed": 2**64 - 1},
        {"logit_bias": {0: -100, 5: 100}, "stop": ("a" * 256,) * 16},
        {"max_tokens": 3, "min_tokens": 3},
        {"repetition_penalty": 0.01},
        {"repetition_penalty": 10},
    ],
)
def test_values_at_the_limits_are_taken(params: dict[str, object]) -> None:
    SamplingParams(**params)


def test_a_top_k_of_minus_one_is_off() -> None:
    assert SamplingParams(top_k=-1).top_k == 0


def test_tiny_temperatures_are_greedy() -> None:
    assert SamplingParams(temperature=0.9e-5).is_greedy
    assert not SamplingParams(temperature=1e-5).is_greedy
