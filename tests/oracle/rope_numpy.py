"""Rotary positions by the papers' words, pair by pair: no table, no vector, no shared code."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def rotation(config: dict[str, Any], head_dim: int) -> tuple[list[float], float]:
    """The angle of each pair at position 1, and what cosines and sines are multiplied by."""
    rule = config.get("rope_parameters") or config.get("rope_scaling") or {}
    theta = rule.get("rope_theta") or config.get("rope_theta") or 10_000.0
    kind = rule.get("rope_type") or rule.get("type") or "default"
    context = config["max_position_embeddings"]
    original = (
        config.get("original_max_position_embeddings")
        or rule.get("original_max_position_embeddings")
        or context
    )
    waves = [theta ** (-2 * pair / head_dim) for pair in range(head_dim // 2)]
    factor = rule.get("factor") or context / original
    match kind:
        case "default":
            return waves, 1.0
        case "linear":
            return [wave / factor for wave in waves], 1.0
        case "llama3":
            return [_llama3(wave, rule, original) for wave in waves], 1.0
        case "yarn":
            kept = [
                _kept_by_yarn(pair, rule, theta, head_dim, original) for pair in range(len(waves))
            ]
            return (
                [
                    wave * (keep + (1 - keep) / factor)
                    for wave, keep in zip(waves, kept, strict=True)
                ],
                _yarn_attention(rule, factor),
            )
    assert kind in ("longrope", "su")
    stretch = rule["long_factor" if context > original else "short_factor"]
    attention = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    return (
        [wave / longer for wave, longer in zip(waves, stretch, strict=True)],
        rule.get("attention_factor") or attention,
    )


def rotate(x: Floats, angles: list[float], scale: float) -> Floats:
    """Turn [num_heads, num_tokens, head_dim]; i is paired with i + head_dim / 2."""
    turned = np.arange(x.shape[-2])[:, None] * np.array(angles)
    cos, sin = (np.float32(scale * values) for values in (np.cos(turned), np.sin(turned)))
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _llama3(wave: float, rule: dict[str, Any], original: int) -> float:
    """Waves longer than the context over `low` are stretched, those under `high` are kept."""
    length = 2 * math.pi / wave
    low, high, factor = rule["low_freq_factor"], rule["high_freq_factor"], rule["factor"]
    if length < original / high:
        return wave
    if length > original / low:
        return wave / factor
    keep = (original / length - low) / (high - low)
    return keep * wave + (1 - keep) * wave / factor


def _kept_by_yarn(
    pair: int, rule: dict[str, Any], theta: float, head_dim: int, original: int
) -> float:
    """The share of a pair that is not stretched: all if it turns often in the first context."""

    def pair_that_turns(times: float) -> float:
        return head_dim / 2 * math.log(original / (2 * math.pi * times), theta)

    first = pair_that_turns(rule.get("beta_fast") or 32)
    last = pair_that_turns(rule.get("beta_slow") or 1)
    if rule.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    if first == last:
        last += 0.001
    return 1 - min(max((pair - first) / (last - first), 0), 1)


def _yarn_attention(rule: dict[str, Any], factor: float) -> float:
    if rule.get("attention_factor") is not None:
        return float(rule["attention_factor"])
    grown = math.log(max(factor, 1.0)) / 10
    if rule.get("mscale") and rule.get("mscale_all_dim"):
        return (rule["mscale"] * grown + 1) / (rule["mscale_all_dim"] * grown + 1)
    return grown + 1
