"""A checkpoint's folder: its tensors by our names, every type, shape and code checked.

Packed linear layers, and those of plain numbers, are handed on as they lie in the file; whether
numbers are ternary is for C++ to see, which reads them all. Masters are rounded here, by the rule
with which the model was trained: s = 1 / max(mean|W|, 1e-5), weights clip(rint(W s), -1, 1), scale
1 / s.
"""

import copy
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import CheckpointError
from tercet_engine.families import find_family
from tercet_engine.families.family import WeightForm
from tercet_engine.families.others import reason_of_tensor
from tercet_engine.finite import are_finite
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import ModelShape
from tercet_engine.shards import find_tensors
from tercet_engine.tensor_source import TensorSource, source_of

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

EMBEDDING: Final = "model.embed_tokens.weight"
FINAL_NORM: Final = "model.norm.weight"
HEAD: Final = "lm_head.weight"
_LAYOUTS: Final = {"BF16": "bf16", "F16": "f16", "F32": "f32"}
_SCALED: Final = (WeightForm.PACKED, WeightForm.PACKED_INVERSE)
_ROWS_AT_ONCE: Final = 512
_TRIAL_COLS: Final = 64
_TRIAL_ROWS: Final = 16
_HARMLESS: Final = ("rotary_emb.inv_freq",)
"""Tables that follow from the config, by the end of their names."""


@dataclass(frozen=True, slots=True)
class PackedLinear:
    """A ternary matrix: codes uint8 [rows / 4, cols], and what to multiply by."""

    codes: UInt8Array
    scale: float


class Checkpoint:
    """An opened folder. Opening reads the headers and checks that every tensor is there.

    Raises:
        CheckpointError: something is missing or damaged; the message names it.
        UnsupportedModel: it is of a kind that this engine does not know.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = ConfigFile.read(folder / "config.json")
        self.family = find_family(self.config)
        plan = self.family.read_plan(self.config)
        self.shape = plan.shape
        self.form = plan.form
        self._file_of = find_tensors(folder)
        is_tied = HEAD not in self._file_of if plan.has_tied_head is None else plan.has_tied_head
        self.head_name = EMBEDDING if is_tied else HEAD
        self._check_names()
        if plan.may_hold_masters and not self._looks_ternary():
            self.form = WeightForm.MASTERS
            self.shape = replace(plan.shape, activation_group=0)

    @property
    def embedding_name(self) -> str:
        """The checkpoint's name of the embedding."""
        return EMBEDDING

    @property
    def default_template(self) -> str | None:
        """The chat template of a model of this family that brings none."""
        return self.family.chat_template

    @property
    def needs_grid(self) -> bool:
        """Whether the weights are plain numbers, whose grid is yet to be found."""
        return self.form is WeightForm.DENSE

    def with_shape(self, shape: ModelShape) -> "Checkpoint":
        """The same folder with a shape that tells more, say what its tensors have proved."""
        other = copy.copy(self)
        other.shape = shape
        return other

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors that are part of the model."""
        return sum(self._file_of[name].tensors[name].num_bytes for name in self.tensor_names())

    def num_bytes_of(self, name: str) -> int:
        """Bytes of one tensor in its file, with its scale's if it has one."""
        names = (name, f"{name}_scale")
        return sum(self._file_of[n].tensors[n].num_bytes for n in names if n in self._file_of)

    def linear_name(self, layer: int, name: str) -> str:
        """The checkpoint's name of a linear layer's weight."""
        return f"model.layers.{layer}.{self.family.linears[name]}.weight"

    def norm_name(self, layer: int, name: str) -> str:
        """The checkpoint's name of a norm; layer -1: the final one."""
        return FINAL_NORM if layer < 0 else f"model.layers.{layer}.{self.family.norms[name]}.weight"

    def bias_name(self, layer: int, name: str) -> str:
        """The checkpoint's name of a linear layer's bias."""
        return f"{self.linear_name(layer, name).removesuffix('weight')}bias"

    def norm(self, layer: int, name: str) -> Float32Array:
        """Read a norm's gains, float32 [size]; layer -1: the final norm."""
        size = self.shape.hidden_size if layer < 0 else self.shape.norm_sizes[name]
        return self._floats(self.norm_name(layer, name), (size,))

    def bias(self, layer: int, name: str) -> Float32Array:
        """Read a linear layer's bias, float32 [rows]; `shape.biases` says which have one."""
        rows, _ = self.shape.linear_shapes[name]
        return self._floats(self.bias_name(layer, name), (rows,))

    def linear(self, layer: int, name: str) -> TensorSource:
        """Read a linear layer."""
        rows, cols = self.shape.linear_shapes[name]
        tensor = self.linear_name(layer, name)
        if self.form is WeightForm.DENSE:
            return self._numbers(tensor, rows, cols)
        if self.form is WeightForm.MASTERS:
            packed = ternarize(self._array(tensor, _LAYOUTS, (rows, cols)))
            codes, scale = packed.codes, packed.scale
        else:
            codes = self._array(tensor, ("U8",), (rows // 4, cols))
            scale = self._scale(f"{tensor}_scale")
            if self.form is WeightForm.PACKED_INVERSE:
                scale = float(np.float32(1) / np.float32(scale))
        return source_of("hf_packed", codes, shape=(rows, cols), scale=scale)

    def table(self, name: str) -> TensorSource:
        """Map the embedding or the head, numbers [vocab, hidden]."""
        table = self._numbers(name, self.shape.vocab_size, self.shape.hidden_size)
        if not are_finite(table.layout, table.data):
            raise self._not_finite(name)
        return table

    def crc32(self, name: str) -> int:
        """Checksum of a tensor's bytes."""
        with self._file_of[name].bytes_of(name) as content:
            return zlib.crc32(content)

    def forget(self, name: str) -> None:
        """Give back the memory of a tensor's mapped pages."""
        self._file_of[name].forget(name)

    def tensor_names(self) -> list[str]:
        """Every tensor that the model is made of, in order of loading."""
        layers = range(self.shape.num_layers)
        linears = [self.linear_name(i, name) for i in layers for name in self.family.linears]
        return [
            EMBEDDING,
            *([] if self.head_name == EMBEDDING else [HEAD]),
            FINAL_NORM,
            *(self.norm_name(layer, name) for layer in layers for name in self.shape.norm_sizes),
            *linears,
            *(f"{name}_scale" for name in linears if self.form in _SCALED),
            *(self.bias_name(i, name) for i in layers for name in self.shape.biases),
        ]

    def _check_names(self) -> None:
        expected = self.tensor_names()
        for name in expected:
            if name not in self._file_of:
                message = f"{self.folder}: the tensor {name} is missing"
                raise CheckpointError(message)
        # A tensor nobody asks for would mean a model that is more than we compute. Tables that
        # follow from the config, and a head beside a tied one, are the harmless exceptions.
        for name in sorted(set(self._file_of) - set(expected)):
            if name != HEAD and not name.endswith(_HARMLESS):
                message = f"{self.folder}: the tensor {name} is not known in this family of models"
                raise CheckpointError(message + reason_of_tensor(name))

    def _looks_ternary(self) -> bool:
        """Whether the numbers that begin the first matrix are 0 or one magnitude, nearly all."""
        name = self.linear_name(0, "q")
        masters = self._array(name, _LAYOUTS, self.shape.linear_shapes["q"])
        return is_ternary(masters[:_TRIAL_ROWS, :_TRIAL_COLS])

    def _array(self, name: str, dtypes: Iterable[str], shape: tuple[int, ...]) -> npt.NDArray[Any]:
        file = self._file_of[name]
        info = file.tensors[name]
        if info.dtype not in dtypes or info.shape != shape:
            message = (
                f"{file.path}: {name} should be {' or '.join(dtypes)} {list(shape)}; "
                f"found {info.dtype} {list(info.shape)}"
            )
            raise CheckpointError(message)
        return file.array(name)

    def _numbers(self, name: str, rows: int, cols: int) -> TensorSource:
        """View a matrix of plain numbers."""
        values = self._array(name, _LAYOUTS, (rows, cols))
        dtype = self._file_of[name].tensors[name].dtype
        return source_of(_LAYOUTS[dtype], values, shape=(rows, cols))

    def _floats(self, name: str, shape: tuple[int, ...]) -> Float32Array:
        values = widen(self._array(name, _LAYOUTS, shape))
        if not np.isfinite(values).all():
            raise self._not_finite(name)
        return values

    def _not_finite(self, name: str) -> CheckpointError:
        path = self._file_of[name].path
        return CheckpointError(f"{path}: {name} holds values that are not finite")

    def _scale(self, name: str) -> float:
        is_scalar = self._file_of[name].tensors[name].shape == ()
        scale = float(self._floats(name, () if is_scalar else (1,)).reshape(-1)[0])
        if scale <= 0:
            message = f"{self._file_of[name].path}: {name} should be over 0; found {scale}"
            raise CheckpointError(message)
        return scale


def widen(values: npt.NDArray[Any]) -> Float32Array:
    """Turn stored floats (bfloat16 as uint16 bits) into float32, exactly."""
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)


def is_ternary(values: npt.NDArray[Any]) -> bool:
    """Whether each row holds 0 and one magnitude: up to a rounding, and to a tenth of them.

    Masters hardly ever have two magnitudes alike, so there is nothing between.
    """
    num_alike = num_all = 0
    for row in np.abs(widen(values)):
        magnitudes = row[row > 0]
        num_all += magnitudes.size
        if magnitudes.size:
            typical = np.median(magnitudes)
            num_alike += int((np.abs(magnitudes - typical) <= typical * 2**-7).sum())
    return num_alike >= 0.9 * num_all


def ternarize(masters: npt.NDArray[Any]) -> PackedLinear:
    """Round masters [rows, cols] to codes. Raises `CheckpointError` if one is not finite."""
    rows, cols = masters.shape
    total = sum(
        float(np.abs(widen(masters[row : row + _ROWS_AT_ONCE])).sum(dtype=np.float64))
        for row in range(0, rows, _ROWS_AT_ONCE)
    )
    if not np.isfinite(total):
        message = "a linear layer's masters hold values that are not finite"
        raise CheckpointError(message)
    inverse = np.float32(1) / np.float32(max(total / (rows * cols), 1e-5))
    codes = np.zeros((rows // 4, cols), np.uint8)
    for block in range(4):
        for row in range(0, rows // 4, _ROWS_AT_ONCE):
            part = slice(row, min(row + _ROWS_AT_ONCE, rows // 4))
            source = masters[block * (rows // 4) + part.start : block * (rows // 4) + part.stop]
            ternary = np.clip(np.rint(widen(source) * inverse), -1, 1)
            codes[part] |= (ternary + 1).astype(np.uint8) << (2 * block)
    return PackedLinear(codes, float(np.float32(1) / inverse))
