"""Which tensors a converted model's file holds, of what type and size.

Matrices that are computed together are one tensor. `layers.0.qkv.tiles` holds the rows of q, k and
v, each rounded up to whole tiles; `row_scales` has one for each of those rows, `outlier_places` and
`outlier_values` are there if some weights are on no grid.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tercet_engine.model_shape import ModelShape

FUSED: Final = {"qkv": ("q", "k", "v"), "o": ("o",), "gate_up": ("gate", "up"), "down": ("down",)}
"""Which linear layers are one matrix."""
ADDED_TO_THE_RESIDUAL: Final = ("o", "down")
HEAD: Final = "head"
EMBEDDING: Final = "embedding"
HEAD_TABLE: Final = "head.table"
_TILE_ROWS: Final = 32


@dataclass(frozen=True, slots=True)
class Wanted:
    """A tensor that must be there; a size of -1 may be any."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def matrix_name(layer: int, fused: str) -> str:
    """Name of a matrix, to which the kinds of its tensors are appended."""
    return f"layers.{layer}.{fused}"


def norm_name(layer: int, name: str) -> str:
    """Name of a norm; layer -1: the final one."""
    return "norm" if layer < 0 else f"layers.{layer}.norm.{name}"


def bias_name(layer: int, name: str) -> str:
    """Name of a linear layer's bias."""
    return f"layers.{layer}.bias.{name}"


def whole_tiles(rows: int) -> int:
    """Round up to whole tiles."""
    return -(-rows // _TILE_ROWS) * _TILE_ROWS


def tiles_bytes(shape: ModelShape, rows: int, cols: int) -> int:
    """Bytes of the tiles of that many rows (`TilesBytes` of formats/tiles.h)."""
    groups = [group for group in (shape.weight_group, shape.activation_group) if group]
    group = min(groups, default=0)
    if not group:
        return whole_tiles(rows) * (-(-cols // 64) * 64) // 4
    return whole_tiles(rows) // _TILE_ROWS * -(-cols // group) * _TILE_ROWS * (2 + group // 4)


def plane_bytes(shape: ModelShape) -> int:
    """Bytes of the plane of high nibbles of an int8 head (`HeadPlaneBytes` of kernels.h)."""
    return whole_tiles(shape.vocab_size) * (-(-shape.hidden_size // 64) * 64) // 2


def wanted_tensors(shape: ModelShape) -> Iterator[Wanted]:
    """Every tensor but the tables and outliers, which the shape does not tell of."""
    for layer in range(shape.num_layers):
        for fused, parts in FUSED.items():
            cols = shape.linear_shapes[parts[0]][1]
            rows = [shape.linear_shapes[part][0] for part in parts]
            name = matrix_name(layer, fused)
            num_bytes = sum(tiles_bytes(shape, one, cols) for one in rows)
            yield Wanted(f"{name}.tiles", "U8", (num_bytes,))
            yield Wanted(f"{name}.row_scales", "F32", (sum(map(whole_tiles, rows)),))
        for norm, size in shape.norm_sizes.items():
            yield Wanted(norm_name(layer, norm), "F32", (size,))
        for part in shape.biases:
            yield Wanted(bias_name(layer, part), "F32", (shape.linear_shapes[part][0],))
    yield Wanted(norm_name(-1, "final"), "F32", (shape.hidden_size,))
    vocab_size = shape.vocab_size
    yield Wanted(f"{HEAD}.row_scales", "F32", (whole_tiles(vocab_size),))
    if shape.has_ternary_head:
        yield Wanted(f"{HEAD}.tiles", "U8", (tiles_bytes(shape, vocab_size, shape.hidden_size),))
        return
    yield Wanted(f"{HEAD}.high", "U8", (plane_bytes(shape),))
    yield Wanted(f"{HEAD}.screen_scales", "F32", (vocab_size,))
    yield Wanted(f"{HEAD}.margins", "F32", (vocab_size,))


def matrices(shape: ModelShape) -> Iterator[str]:
    """Names of all matrices that may have outliers."""
    for layer in range(shape.num_layers):
        yield from (matrix_name(layer, fused) for fused in FUSED)
    if shape.has_ternary_head:
        yield HEAD


def outlier_tensors(name: str, count: int) -> tuple[Wanted, Wanted]:
    """The tensors of a matrix's outliers."""
    return (
        Wanted(f"{name}.outlier_places", "U32", (count, 2)),
        Wanted(f"{name}.outlier_values", "F32", (count,)),
    )
