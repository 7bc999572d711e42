"""Ternary matrices as the bytes of GGUF's types, written from the formats' descriptions.

Each takes codes uint8 [rows, cols] (-1, 0, 1 as 0, 1, 2) and scales float32 [rows, cols / block].
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def i2_s(codes: Array, scales: Array) -> bytes:
    """One scale for all: blocks of 128 over the flattened matrix, then the scale and padding."""
    blocks = codes.reshape(-1, 4, 32)
    packed = sum(blocks[:, run].astype(np.uint8) << (6 - 2 * run) for run in range(4))
    scale = np.float32(scales.flat[0])
    return bytes(np.asarray(packed, np.uint8)) + scale.tobytes() + bytes(28)


def tq2_0(codes: Array, scales: Array) -> bytes:
    blocks = codes.reshape(-1, 2, 4, 32)
    packed = sum(blocks[:, :, k] << (2 * k) for k in range(4))
    return _with_scales(np.asarray(packed, np.uint8).reshape(len(blocks), 64), scales, 256)


def tq1_0(codes: Array, scales: Array) -> bytes:
    blocks = codes.reshape(-1, 256)
    parts = [
        _trits(blocks[:, :160], 32),
        _trits(blocks[:, 160:240], 16),
        _trits(blocks[:, 240:], 4),
    ]
    return _with_scales(np.concatenate(parts, axis=1), scales, 256)


def ptq1_0(codes: Array, scales: Array) -> bytes:
    blocks = codes.reshape(-1, 128)
    parts = [_trits(blocks[:, :80], 16), _trits(blocks[:, 80:120], 8), _trits(blocks[:, 120:], 2)]
    return _with_scales(np.concatenate(parts, axis=1), scales, 128)


def q2_0(block: int) -> Callable[[Array, Array], bytes]:
    """The scale first, four neighbours to a byte."""

    def encode(codes: Array, scales: Array) -> bytes:
        fours = codes.reshape(-1, block // 4, 4)
        packed = sum(fours[:, :, k] << (2 * k) for k in range(4))
        halves = _halves(scales, block, codes.shape[1])
        return np.concatenate([halves, np.asarray(packed, np.uint8)], axis=1).tobytes()

    return encode


def numbers(dtype: type[Any]) -> Callable[[Array, Array], bytes]:
    """Plain numbers."""

    def encode(codes: Array, scales: Array) -> bytes:
        return values(codes, scales).astype(dtype).tobytes()

    return encode


def bf16(codes: Array, scales: Array) -> bytes:
    return (values(codes, scales).view(np.uint32) >> 16).astype(np.uint16).tobytes()


def values(codes: Array, scales: Array) -> Array:
    """What the matrix means, float32 [rows, cols]."""
    width = codes.shape[1] // scales.shape[1]
    product: Array = (codes.astype(np.float32) - 1) * np.repeat(scales, width, axis=1)
    return product.astype(np.float32)


def _trits(codes: Array, num_bytes: int) -> Array:
    digits = codes.reshape(len(codes), -1, num_bytes).astype(np.uint32)
    value = np.zeros((len(codes), num_bytes), np.uint32)
    for place in range(5):
        value = value * 3 + (digits[:, place] if place < digits.shape[1] else 0)
    return ((value * 256 + 242) // 243).astype(np.uint8)


def _halves(scales: Array, block: int, cols: int) -> Array:
    each = np.repeat(scales, cols // scales.shape[1] // block, axis=1).reshape(-1, 1)
    return each.astype(np.float16).view(np.uint8)


def _with_scales(packed: Array, scales: Array, block: int) -> bytes:
    cols = len(packed) * block // scales.shape[0]
    return np.concatenate([packed, _halves(scales, block, cols)], axis=1).tobytes()


LAYOUTS: dict[str, tuple[int, Callable[[Array, Array], bytes]]] = {
    "f32": (0, numbers(np.float32)),
    "f16": (1, numbers(np.float16)),
    "bf16": (30, bf16),
    "tq1_0": (34, tq1_0),
    "tq2_0": (35, tq2_0),
    "i2_s": (36, i2_s),
    "q2_0_g64": (42, q2_0(64)),
    "q2_0_g128": (42, q2_0(128)),
    "pq2_0": (142, q2_0(128)),
    "ptq1_0": (143, ptq1_0),
}
"""Each type's id and encoder."""


def drawn_q8_0(random: np.random.Generator, rows: int, cols: int) -> tuple[bytes, Array]:
    """Random blocks of 32: a scale, then int8 each; and what they mean."""
    count = rows * cols // 32
    scales = random.uniform(0.001, 0.02, (count, 1)).astype(np.float16)
    numbers = random.integers(-128, 128, (count, 32)).astype(np.int8)
    meaning = scales.astype(np.float32) * numbers
    return _joined(scales, numbers.view(np.uint8)), meaning.reshape(rows, cols)


def drawn_q4_0(random: np.random.Generator, rows: int, cols: int) -> tuple[bytes, Array]:
    """Random blocks of 32: a scale, then 16 bytes; lower halves first, less 8."""
    count = rows * cols // 32
    scales = random.uniform(0.01, 0.2, (count, 1)).astype(np.float16)
    packed = random.integers(0, 256, (count, 16)).astype(np.uint8)
    numbers = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32) - 8
    return _joined(scales, packed), (scales.astype(np.float32) * numbers).reshape(rows, cols)


def drawn_q6_k(random: np.random.Generator, rows: int, cols: int) -> tuple[bytes, Array]:
    """Random blocks of 256 in two halves: low 4 bits, high 2 bits, a scale for 16; then a scale."""
    count = rows * cols // 256
    numbers = random.integers(0, 64, (count, 2, 4, 32)).astype(np.uint8)
    low, high = numbers & 15, numbers >> 4
    fours = np.concatenate([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], 2)
    twos = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    sub_scales = random.integers(-32, 33, (count, 16)).astype(np.int8)
    scales = random.uniform(0.0005, 0.002, (count, 1)).astype(np.float16)
    parts = [fours.reshape(count, 128), twos.reshape(count, 64), sub_scales.view(np.uint8)]
    content = np.concatenate([*parts, scales.view(np.uint8)], axis=1).tobytes()
    each = scales.astype(np.float32) * sub_scales.astype(np.float32)
    signed = numbers.reshape(count, 16, 16).astype(np.float32) - 32
    return content, (each[:, :, None] * signed).reshape(rows, cols)


def _joined(scales: Array, packed: Array) -> bytes:
    return np.concatenate([scales.view(np.uint8), packed], axis=1).tobytes()


DRAWN = {"q4_0": (2, drawn_q4_0), "q8_0": (8, drawn_q8_0), "q6_k": (14, drawn_q6_k)}
"""Quantised numbers: each type's id, and random ones."""
