"""Any model's weights, packed and written as a converted model's.

Tensors pass one at a time. Tiles and planes come first in the file, for their sizes are multiples
of 64 bytes; what is small waits in memory until they are written.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from tercet_engine import _core
from tercet_engine.core_words import core_config, core_source
from tercet_engine.errors import CheckpointError
from tercet_engine.kernel_choice import choose_kernels
from tercet_engine.packed.format import WEIGHTS
from tercet_engine.packed.tensors import (
    ADDED_TO_THE_RESIDUAL,
    EMBEDDING,
    FUSED,
    HEAD,
    HEAD_TABLE,
    Wanted,
    bias_name,
    matrices,
    matrix_name,
    norm_name,
    outlier_tensors,
    wanted_tensors,
    whole_tiles,
)
from tercet_engine.packed.writer import SafetensorsWriter
from tercet_engine.progress import ProgressListener
from tercet_engine.tensor_source import TensorSource
from tercet_engine.weight_source import WeightSource

_Packed = TypeVar("_Packed")
_ROWS_AT_ONCE: Final = 4096
_MAX_TABLES: Final = 2


@dataclass(frozen=True, slots=True)
class WrittenWeights:
    """What `config.json` tells of the tensors."""

    facts: dict[str, float]
    layouts: dict[str, str]
    checksums: dict[str, int]


def weight_file_bytes(source: WeightSource) -> int:
    """Bytes that the file will take, outliers left out: these are few, or there is no file."""
    shape = source.shape
    item_bytes = {"U8": 1, "F32": 4}
    sizes = [item_bytes[one.dtype] * int(np.prod(one.shape)) for one in wanted_tensors(shape)]
    tables = {name: source.table(name) for name in (source.embedding_name, source.head_name)}
    return sum(sizes) + sum(table.rows * _row_bytes(table) for table in tables.values())


def write_weights(
    source: WeightSource, folder: Path, num_threads: int, progress: ProgressListener
) -> WrittenWeights:
    """Write the weights file into a folder.

    Raises:
        CheckpointError: a tensor is damaged; the message names it.
        UnsupportedModel: the sizes cannot be computed with.
        OSError: the disk is full, or does not want to.
    """
    core_config(source.shape)
    names = [one.name for one in wanted_tensors(source.shape)]
    max_tensors = len(names) + 2 * len(list(matrices(source.shape))) + _MAX_TABLES
    writer = SafetensorsWriter(folder / WEIGHTS, max_tensors)
    try:
        return _Conversion(source, writer, num_threads, progress).run()
    finally:
        writer.abandon()


@dataclass(slots=True)
class _Conversion:
    source: WeightSource
    writer: SafetensorsWriter
    num_threads: int
    progress: ProgressListener
    facts: dict[str, float] = field(default_factory=dict)
    layouts: dict[str, str] = field(default_factory=dict)
    small: dict[str, tuple[str, npt.NDArray[Any]]] = field(default_factory=dict)

    def run(self) -> WrittenWeights:
        shape = self.source.shape
        self.progress.start(self.source.num_bytes)
        for layer in range(shape.num_layers):
            for fused, parts in FUSED.items():
                self._write_matrix(layer, fused, parts)
            for norm in shape.norm_sizes:
                self._keep(norm_name(layer, norm), self.source.norm(layer, norm))
                self._done(self.source.norm_name(layer, norm))
            for part in shape.biases:
                self._keep(bias_name(layer, part), self.source.bias(layer, part))
                self._done(self.source.bias_name(layer, part))
        self._write_head()
        self._keep(norm_name(-1, "final"), self.source.norm(-1, "final"))
        self._done(self.source.norm_name(-1, "final"))
        for name, (dtype, values) in self.small.items():
            self.writer.add(name, dtype, values.shape, [values])
        self._write_tables()
        self.writer.close()
        self.progress.finish()
        return WrittenWeights(self.facts, self.layouts, self.writer.checksums)

    def _write_matrix(self, layer: int, fused: str, parts: tuple[str, ...]) -> None:
        shape = self.source.shape
        multiplier = shape.residual_scale if fused in ADDED_TO_THE_RESIDUAL else 1.0
        packed = []
        for part in parts:
            tensor = self.source.linear_name(layer, part)
            linear = self.source.linear(layer, part)
            packed.append(self._pack(tensor, linear, multiplier))
            if shape.linear_norm_eps is not None and len(packed[-1].outlier_values):
                message = (
                    f"{tensor} has weights on no grid, which layers with norms of their own "
                    "cannot have"
                )
                raise CheckpointError(message)
            self.facts[f"{tensor}: scale"] = linear.scale
            self._done(tensor)
        rows = [shape.linear_shapes[part][0] for part in parts]
        self._add_tiles(matrix_name(layer, fused), packed, rows)

    def _write_head(self) -> None:
        name = self.source.head_name
        table = self.source.table(name)
        if self.source.shape.has_ternary_head:
            self._add_tiles(HEAD, [self._pack(name, table, 1.0)], [table.rows])
            return
        plane = _packing(
            name,
            lambda: _core.pack_head(
                core_source(table), kernels=choose_kernels(""), num_threads=self.num_threads
            ),
        )
        self.writer.add(f"{HEAD}.high", "U8", plane.high.shape, [plane.high])
        self._keep(f"{HEAD}.row_scales", plane.row_scales)
        self._keep(f"{HEAD}.screen_scales", plane.screen_scales)
        self._keep(f"{HEAD}.margins", plane.margins)

    def _write_tables(self) -> None:
        names = {EMBEDDING: self.source.embedding_name, HEAD_TABLE: self.source.head_name}
        if self.source.head_name == self.source.embedding_name:
            del names[HEAD_TABLE]
        tables = {name: self.source.table(theirs) for name, theirs in names.items()}
        for name, table in tables.items():
            num_bytes = table.rows * _row_bytes(table)
            self.writer.add(name, "U8", (num_bytes,), _rows_of(table))
            self.layouts[name] = table.layout
            self._done(names[name])

    def _pack(self, tensor: str, source: TensorSource, multiplier: float) -> _core.PackedTiles:
        shape = self.source.shape
        return _packing(
            tensor,
            lambda: _core.pack_tiles(
                core_source(source),
                weight_group=shape.weight_group,
                activation_group=shape.activation_group,
                multiplier=multiplier,
                num_threads=self.num_threads,
            ),
        )

    def _add_tiles(self, name: str, parts: list[_core.PackedTiles], rows: list[int]) -> None:
        """Write parts as one matrix: each begins where the tiles of the one before end."""
        starts = np.cumsum([0, *map(whole_tiles, rows)])[:-1]
        num_bytes = sum(part.tiles.size for part in parts)
        self.writer.add(f"{name}.tiles", "U8", (num_bytes,), [part.tiles for part in parts])
        self._keep(f"{name}.row_scales", np.concatenate([part.row_scales for part in parts]))
        places = np.concatenate(
            [
                part.outlier_places + np.array([start, 0], np.uint32)
                for part, start in zip(parts, starts, strict=True)
            ]
        )
        if len(places):
            values = np.concatenate([part.outlier_values for part in parts])
            for wanted, array in zip(
                outlier_tensors(name, len(places)), (places, values), strict=True
            ):
                self._keep(wanted.name, array, wanted)

    def _keep(self, name: str, values: npt.NDArray[Any], wanted: Wanted | None = None) -> None:
        self.small[name] = (wanted.dtype if wanted else "F32", values)

    def _done(self, tensor: str) -> None:
        self.facts[tensor] = self.source.crc32(tensor)
        self.source.forget(tensor)
        self.progress.advance(self.source.num_bytes_of(tensor), tensor)


def _packing(tensor: str, pack: Callable[[], _Packed]) -> _Packed:
    try:
        return pack()
    except ValueError as error:  # a code that means no weight, say
        message = f"{tensor}: {error}"
        raise CheckpointError(message) from error


def _row_bytes(table: TensorSource) -> int:
    return core_source(table).row_bytes


def _rows_of(table: TensorSource) -> Iterator[npt.NDArray[np.uint8]]:
    """A table's bytes without gaps or overlaps between rows."""
    row_bytes = _row_bytes(table)
    if table.row_stride in {0, row_bytes}:
        yield table.data[: table.rows * row_bytes]
        return
    rows = np.lib.stride_tricks.as_strided(
        table.data, (table.rows, row_bytes), (table.row_stride, 1), writeable=False
    )
    for begin in range(0, table.rows, _ROWS_AT_ONCE):
        yield np.ascontiguousarray(rows[begin : begin + _ROWS_AT_ONCE])
