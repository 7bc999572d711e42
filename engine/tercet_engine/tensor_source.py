"""A matrix as it lies in a file, for C++ to read: bytes, and what they mean.

`layout` names how rows are stored; `cpp/src/formats` has a reader for each:

    hf_packed   uint8 [rows / 4, cols]: bits 2i..2i+1 of row r hold row r + i * rows / 4, plus one
    i2_s        2-bit codes in blocks of 128 over the flattened matrix, 32 bytes a block
    tq1_0 tq2_0 256 weights and a float16 scale a block
    q2_0_g64 q2_0_g128 ptq1_0    the same with 64 and 128
    bf16 f16 f32                 numbers
    q8_0 q6_k q4_0               quantised numbers in blocks of 32, 256 and 32
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TensorSource:
    """One matrix.

    Attributes:
        layout: one of the names above.
        data: all bytes, uint8 [n]; a view of a mapped file.
        rows: how many rows.
        cols: how many columns.
        scale: what every value is multiplied by.
        rope_head_dim: rows of each head of this size lie in pairs (2 i, 2 i + 1) where half-split
            rotation wants (i, i + half), as in GGUF files of `llama`; 0: they do not.
        row_stride: bytes from a row to the next where they are not dense (bf16 only); 0: dense.
    """

    layout: str
    data: UInt8Array
    rows: int
    cols: int
    scale: float = 1.0
    rope_head_dim: int = 0
    row_stride: int = 0


def source_of(
    layout: str, array: npt.NDArray[Any], *, shape: tuple[int, int], scale: float = 1.0
) -> TensorSource:
    """View an array's bytes as a matrix of `shape` [rows, cols]; the array must be contiguous."""
    return TensorSource(layout, array.reshape(-1).view(np.uint8), shape[0], shape[1], scale)
