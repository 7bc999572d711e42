"""A converted model's tensors, handed to C++ as they lie."""

from collections.abc import Callable
from typing import Any

from tercet_engine import _core
from tercet_engine.errors import CheckpointError
from tercet_engine.packed.checkpoint import PackedCheckpoint, PackedMatrix
from tercet_engine.packed.tensors import (
    EMBEDDING,
    FUSED,
    HEAD,
    HEAD_TABLE,
    bias_name,
    matrix_name,
    norm_name,
)
from tercet_engine.progress import ProgressListener
from tercet_engine.tensor_source import TensorSource


def fill_packed(
    builder: _core.ModelBuilder,
    source: PackedCheckpoint,
    head_kind: str,
    progress: ProgressListener,
    *,
    in_place: bool,
) -> None:
    """Hand everything to the builder.

    Args:
        builder: of a model of the source's shape.
        source: the converted model.
        head_kind: how the head is kept.
        progress: is told how far it has come.
        in_place: use the mapped file, rather than memory of the model's own.

    Raises:
        CheckpointError: a tensor holds what none can hold; the message names it.
    """

    def take(name: str, setter: Callable[..., None], *values: Any, **how: bool) -> None:
        try:
            setter(*values, **how)
        except ValueError as error:  # says what it is of
            message = f"{source.file.path}: {error}"
            raise CheckpointError(message) from error
        if how == {"in_place": False}:
            source.forget(name)
        progress.advance(source.num_bytes_of(name), name)

    def table_of(name: str, table: TensorSource) -> _core.TensorSource:
        try:
            return _core.TensorSource(table.layout, table.data, rows=table.rows, cols=table.cols)
        except ValueError as error:
            message = f"{source.file.path}: {name}: {error}"
            raise CheckpointError(message) from error

    shape = source.shape
    source.expect()
    take(EMBEDDING, builder.set_embedding, table_of(EMBEDDING, source.embedding()))
    table = table_of(HEAD_TABLE, source.head_table())
    if head_kind == "bf16":
        take(HEAD, builder.set_head, table)
    else:
        take(HEAD, builder.set_packed_head, table, _head(source), in_place=in_place)
    take(norm_name(-1, "final"), builder.set_norm, -1, "final", source.norm(-1, "final"))
    for layer in range(shape.num_layers):
        for name in shape.norm_sizes:
            norm = source.norm(layer, name)
            take(norm_name(layer, name), builder.set_norm, layer, name, norm)
        for name in shape.biases:
            bias = source.bias(layer, name)
            take(bias_name(layer, name), builder.set_bias, layer, name, bias)
        for fused in FUSED:
            matrix = _tiles(source.matrix(layer, fused))
            name = matrix_name(layer, fused)
            take(name, builder.set_packed, layer, fused, matrix, in_place=in_place)


def _head(source: PackedCheckpoint) -> _core.PackedTiles | _core.PackedPlane:
    head = source.head()
    if isinstance(head, PackedMatrix):
        return _tiles(head)
    return _core.PackedPlane(
        head.high,
        row_scales=head.row_scales,
        screen_scales=head.screen_scales,
        margins=head.margins,
    )


def _tiles(matrix: PackedMatrix) -> _core.PackedTiles:
    return _core.PackedTiles(
        matrix.tiles,
        row_scales=matrix.row_scales,
        outlier_places=matrix.outlier_places,
        outlier_values=matrix.outlier_values,
    )
