"""A converted model's folder, opened: tensors to be used where they lie."""

import copy
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import CheckpointError
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import ModelShape
from tercet_engine.packed.format import WEIGHTS, section_of, shape_of
from tercet_engine.packed.tensors import (
    EMBEDDING,
    HEAD,
    HEAD_TABLE,
    Wanted,
    bias_name,
    matrices,
    matrix_name,
    norm_name,
    outlier_tensors,
    wanted_tensors,
)
from tercet_engine.safetensors_file import SafetensorsFile
from tercet_engine.tensor_source import TensorSource

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]
UInt32Array = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class PackedMatrix:
    """A matrix as it is computed with; outliers by row, then column."""

    tiles: UInt8Array
    row_scales: Float32Array
    outlier_places: UInt32Array
    outlier_values: Float32Array


@dataclass(frozen=True, slots=True)
class PackedHead:
    """An int8 head: its plane of high nibbles, and what a screen of it needs."""

    high: UInt8Array
    row_scales: Float32Array
    screen_scales: Float32Array
    margins: Float32Array


class PackedCheckpoint:
    """An opened folder. Opening checks that every tensor is there and as large as it should be.

    Attributes:
        folder: where it is.
        config: its `config.json`.
        shape: the model's.
        facts: of the source's tensors, for the fingerprint.
        overrides: what was put right of the source when it was converted, in words.

    Raises:
        CheckpointError: something is missing or damaged; the message names it.
        UnsupportedModel: it is of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = ConfigFile.read(folder / "config.json")
        section = section_of(self.config)
        self.shape = shape_of(section)
        self.facts = _numbers(section.section("facts"))
        self._layouts = section.section("layouts")
        self.checksums = _numbers(section.section("checksums"))
        self.made_from = section.text("made_from", "")
        self.overrides = tuple(str(one) for one in section.values.get("overrides") or ())
        self.file = SafetensorsFile(folder / WEIGHTS)
        self._check()

    @property
    def default_template(self) -> str | None:
        """The chat template of a model that brings none: this one has what its source had."""
        return None

    @property
    def needs_grid(self) -> bool:
        """The grid was found when the model was converted."""
        return False

    def with_shape(self, shape: ModelShape) -> "PackedCheckpoint":
        """The same folder with a shape that tells more."""
        other = copy.copy(self)
        other.shape = shape
        return other

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(info.num_bytes for info in self.file.tensors.values())

    def num_bytes_of(self, name: str) -> int:
        """Bytes of all tensors of a matrix or the head, or of one tensor."""
        return sum(
            info.num_bytes
            for full, info in self.file.tensors.items()
            if full == name or (full.startswith(f"{name}.") and full != HEAD_TABLE)
        )

    def matrix(self, layer: int, fused: str) -> PackedMatrix:
        """View a matrix of a layer; `fused` is one of `FUSED`."""
        return self._matrix(matrix_name(layer, fused))

    def head(self) -> PackedMatrix | PackedHead:
        """View the head, ternary or int8 as `shape.has_ternary_head` tells."""
        if self.shape.has_ternary_head:
            return self._matrix(HEAD)
        return PackedHead(
            high=self.file.array(f"{HEAD}.high"),
            row_scales=self.file.array(f"{HEAD}.row_scales"),
            screen_scales=self.file.array(f"{HEAD}.screen_scales"),
            margins=self.file.array(f"{HEAD}.margins"),
        )

    def embedding(self) -> TensorSource:
        """View the embedding."""
        return self._table(EMBEDDING)

    def head_table(self) -> TensorSource:
        """View what the head was packed from: the embedding, or a table of its own."""
        return self._table(HEAD_TABLE if HEAD_TABLE in self.file.tensors else EMBEDDING)

    def norm(self, layer: int, name: str) -> Float32Array:
        """Read a norm's gains; layer -1: the final one's."""
        return self._floats(norm_name(layer, name))

    def bias(self, layer: int, name: str) -> Float32Array:
        """Read a linear layer's bias."""
        return self._floats(bias_name(layer, name))

    def expect(self) -> None:
        """Have the system read ahead what every token needs; tables it reads row by row."""
        for name in self.file.tensors:
            if name not in {EMBEDDING, HEAD_TABLE}:
                self.file.expect(name)

    def forget(self, name: str) -> None:
        """Give back the memory of the mapped pages of a matrix, or of the head."""
        for kind in ("tiles", "high"):
            if f"{name}.{kind}" in self.file.tensors:
                self.file.forget(f"{name}.{kind}")

    def damaged_tensors(self) -> list[str]:
        """Read everything; name the tensors that are not as they were written."""
        return [name for name in self.file.tensors if self._checksum(name) != self.checksums[name]]

    def _checksum(self, name: str) -> int:
        with self.file.bytes_of(name) as content:
            return zlib.crc32(content)

    def _check(self) -> None:
        expected = []
        for wanted in wanted_tensors(self.shape):
            self._check_tensor(wanted)
            expected.append(wanted.name)
        for name in matrices(self.shape):
            places = self.file.tensors.get(f"{name}.outlier_places")
            if places is not None:
                for wanted in outlier_tensors(name, places.shape[0] if places.shape else 0):
                    self._check_tensor(wanted)
                    expected.append(wanted.name)
        for name in (EMBEDDING, HEAD_TABLE):
            if name in self.file.tensors:
                self._check_tensor(Wanted(name, "U8", (self.file.tensors[name].num_bytes,)))
                expected.append(name)
        if EMBEDDING not in expected:
            self._refuse(f"the tensor {EMBEDDING} is missing")
        for name in sorted(set(self.file.tensors) - set(expected)):
            self._refuse(f"the tensor {name} is not known")
        for name in expected:
            if name not in self.checksums:
                self._refuse(f"the checksum of {name} is missing")

    def _check_tensor(self, wanted: Wanted) -> None:
        info = self.file.tensors.get(wanted.name)
        if info is None:
            self._refuse(f"the tensor {wanted.name} is missing")
        elif (info.dtype, info.shape) != (wanted.dtype, wanted.shape):
            self._refuse(
                f"{wanted.name} should be {wanted.dtype} {list(wanted.shape)}; "
                f"found {info.dtype} {list(info.shape)}"
            )

    def _refuse(self, what: str) -> None:
        message = f"{self.file.path}: {what}"
        raise CheckpointError(message)

    def _matrix(self, name: str) -> PackedMatrix:
        has_outliers = f"{name}.outlier_places" in self.file.tensors
        return PackedMatrix(
            tiles=self.file.array(f"{name}.tiles"),
            row_scales=self.file.array(f"{name}.row_scales"),
            outlier_places=self.file.array(f"{name}.outlier_places")
            if has_outliers
            else np.zeros((0, 2), np.uint32),
            outlier_values=self.file.array(f"{name}.outlier_values")
            if has_outliers
            else np.zeros(0, np.float32),
        )

    def _table(self, name: str) -> TensorSource:
        rows, cols = self.shape.vocab_size, self.shape.hidden_size
        return TensorSource(self._layouts.text(name), self.file.array(name), rows, cols)

    def _floats(self, name: str) -> Float32Array:
        values: npt.NDArray[Any] = self.file.array(name)
        if not np.isfinite(values).all():
            self._refuse(f"{name} holds values that are not finite")
        return values


def _numbers(section: ConfigFile) -> Mapping[str, float]:
    for name, value in section.values.items():
        if type(value) not in {int, float}:
            raise section.error(name, "a number")
    return section.values
