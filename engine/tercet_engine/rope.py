"""Rotary position embedding: which angle each pair of a head turns by, per position.

A table is made once, in double, from what a config says; C++ only multiplies. `scale` multiplies
cosines and sines, as YaRN and LongRoPE want it (transformers' `attention_scaling`).
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from tercet_engine.nearest import log, power

Float64Array = npt.NDArray[np.float64]


class RopeScaling(StrEnum):
    """How a model stretches its positions beyond those it was first trained for."""

    NONE = "none"
    LINEAR = "linear"
    LLAMA3 = "llama3"
    YARN = "yarn"
    LONGROPE = "longrope"


@dataclass(frozen=True, slots=True)
class Rope:
    """What a config says of positions. Pairs are half-split: dimension j turns with j + half.

    Attributes:
        theta: the base of the frequencies.
        scaling: which of the rules below applies.
        factor: how far positions are stretched.
        original_context: positions of the first training; 0 where no rule asks.
        low_freq_factor: Llama 3: wavelengths over original_context / this are stretched fully.
        high_freq_factor: Llama 3: wavelengths under original_context / this are left alone.
        beta_fast: YaRN: rotations above which a dimension is left alone.
        beta_slow: YaRN: rotations below which a dimension is stretched fully.
        attention_factor: what cosines and sines are multiplied by; None: as the rule says.
        short_factors: LongRoPE: per pair, for contexts up to original_context.
        long_factors: LongRoPE: per pair, for longer ones.
        truncate: YaRN: the two bounds between dimensions are rounded outwards to whole ones.
    """

    theta: float = 500_000.0
    scaling: RopeScaling = RopeScaling.NONE
    factor: float = 1.0
    original_context: int = 0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()
    truncate: bool = True

    def frequencies(self, head_dim: int, max_context: int) -> Float64Array:
        """Radians per position of each pair, float64 [head_dim / 2]."""
        half = head_dim // 2
        base = np.array([power(self.theta, -(2 * pair / head_dim)) for pair in range(half)])
        match self.scaling:
            case RopeScaling.NONE:
                return base
            case RopeScaling.LINEAR:
                return base / self.factor
            case RopeScaling.LLAMA3:
                return self._llama3(base)
            case RopeScaling.YARN:
                return self._yarn(base, head_dim)
            case RopeScaling.LONGROPE:
                is_long = max_context > self.original_context
                factors = self.long_factors if is_long else self.short_factors
                return base / np.array(factors, np.float64)

    @property
    def scale(self) -> float:
        """What cosines and sines are multiplied by."""
        if self.attention_factor is not None:
            return self.attention_factor
        if self.scaling is RopeScaling.YARN:
            return yarn_attention_factor(self.factor)
        if self.scaling is RopeScaling.LONGROPE and self.factor > 1:
            return math.sqrt(1 + log(self.factor) / log(self.original_context))
        return 1.0

    def _llama3(self, base: Float64Array) -> Float64Array:
        """Stretch long waves, leave short ones alone, blend between (Llama 3.1's rule)."""
        turns = self.original_context * base / (2 * math.pi)
        span = self.high_freq_factor - self.low_freq_factor
        blend = np.clip((turns - self.low_freq_factor) / span, 0, 1)
        return (1 - blend) * base / self.factor + blend * base

    def _yarn(self, base: Float64Array, head_dim: int) -> Float64Array:
        """Stretch dimensions by how often they turn within the original context (YaRN)."""

        def dimension(rotations: float) -> float:
            wavelength = self.original_context / (rotations * 2 * math.pi)
            return head_dim * log(wavelength) / (2 * log(self.theta))

        low, high = dimension(self.beta_fast), dimension(self.beta_slow)
        if self.truncate:
            low, high = float(math.floor(low)), float(math.ceil(high))
        low, high = max(low, 0.0), min(high, head_dim - 1.0)
        ramp = (np.arange(len(base), dtype=np.float64) - low) / (high - low or 0.001)
        stretched = np.clip(ramp, 0, 1)
        return stretched * base / self.factor + (1 - stretched) * base


def yarn_attention_factor(
    factor: float, scale: float | None = None, scale_all_dims: float | None = None
) -> float:
    """What YaRN multiplies cosines and sines by (Peng et al., 2023, equation 22).

    Some configs tell two weights of the logarithm; the factor is then the quotient of both.
    """

    def attention_factor(weight: float) -> float:
        return 0.1 * weight * log(factor) + 1 if factor > 1 else 1.0

    if scale and scale_all_dims:
        return attention_factor(scale) / attention_factor(scale_all_dims)
    return attention_factor(1.0)
