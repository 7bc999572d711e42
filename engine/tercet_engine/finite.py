"""Are the numbers of a table finite? Asked of what is read row by row long after loading.

A number that is infinite, or none, has an exponent of ones. Of quantised numbers only the scales of
blocks can be such; where they lie in a block is the layout's (`cpp/src/formats`).
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_EXPONENTS: Final[dict[str, np.uint16 | np.uint32]] = {
    "bf16": np.uint16(0x7F80),
    "f16": np.uint16(0x7C00),
    "f32": np.uint32(0x7F800000),
}
_SCALES: Final = {
    "q8_0": (34, 0),
    "q4_0": (18, 0),
    "q6_k": (210, 208),
    "tq1_0": (54, 52),
    "tq2_0": (66, 64),
    "q2_0_g64": (18, 0),
    "q2_0_g128": (34, 0),
    "ptq1_0": (28, 26),
}
"""Bytes of a block, and where its float16 scale begins."""
_AT_ONCE: Final = 1 << 20


def are_finite(layout: str, data: npt.NDArray[np.uint8]) -> bool:
    """Whether all numbers of a table's bytes are; a layout without numbers or scales is."""
    if layout in _SCALES:
        block_bytes, place = _SCALES[layout]
        blocks = data[: data.size // block_bytes * block_bytes].reshape(-1, block_bytes)
        scales = blocks[:, place : place + 2].copy().view(np.uint16)
        return not _has_ones(scales, _EXPONENTS["f16"])
    if layout not in _EXPONENTS:
        return True
    exponent = _EXPONENTS[layout]
    numbers = data[: data.size // exponent.itemsize * exponent.itemsize]
    step = _AT_ONCE * exponent.itemsize
    return not any(
        _has_ones(numbers[begin : begin + step].view(exponent.dtype), exponent)
        for begin in range(0, numbers.size, step)
    )


def _has_ones(bits: npt.NDArray[Any], exponent: np.uint16 | np.uint32) -> bool:
    return bool((bits & exponent == exponent).any())
