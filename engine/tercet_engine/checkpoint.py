"""A checkpoint's folder: its tensors by our names, every type, shape and code checked.

Two forms of linear layers are read. Packed ones are handed on as they lie in the file. Masters are
rounded here, by the rule with which the model was trained: s = 1 / max(mean|W|, 1e-5), weights
clip(rint(W s), -1, 1), scale 1 / s.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import CheckpointError
from tercet_engine.families import find_family
from tercet_engine.families.family import WeightForm
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.safetensors_file import SafetensorsFile
from tercet_engine.tensor_source import TensorSource, source_of

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

EMBEDDING: Final = "model.embed_tokens.weight"
FINAL_NORM: Final = "model.norm.weight"
HEAD: Final = "lm_head.weight"
_FLOATS: Final = ("BF16", "F16", "F32")
_MAX_SHARDS: Final = 1024
_ROWS_AT_ONCE: Final = 512
_EXPONENT: Final = np.uint16(0x7F80)  # all ones in a bfloat16 that is infinite or no number


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
        self.head_name = EMBEDDING if plan.has_tied_head else HEAD
        self._file_of = _open_files(folder)
        self._check_names()

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

    def norm(self, layer: int, name: str) -> Float32Array:
        """Read a norm's gains, float32 [size]; layer -1: the final norm."""
        size = self.shape.hidden_size if layer < 0 else self.shape.norm_sizes[name]
        return self._floats(self.norm_name(layer, name), (size,))

    def linear(self, layer: int, name: str) -> TensorSource:
        """Read a linear layer."""
        rows, cols = self.shape.linear_shapes[name]
        tensor = self.linear_name(layer, name)
        if self.form is WeightForm.PACKED:
            codes = self._array(tensor, ("U8",), (rows // 4, cols))
            scale = self._scale(f"{tensor}_scale")
            return source_of("hf_packed", codes, shape=(rows, cols), scale=scale)
        packed = ternarize(self._array(tensor, _FLOATS, (rows, cols)))
        return source_of("hf_packed", packed.codes, shape=(rows, cols), scale=packed.scale)

    def bias(self, layer: int, name: str) -> Float32Array:
        """Read what a linear layer adds, float32 [rows]."""
        rows, _ = self.shape.linear_shapes[name]
        tensor = self.linear_name(layer, name).removesuffix("weight")
        return self._floats(f"{tensor}bias", (rows,))

    def table(self, name: str) -> TensorSource:
        """Map the embedding or the head, [vocab, hidden]."""
        table = self._array(name, ("BF16",), (self.shape.vocab_size, self.shape.hidden_size))
        for row in range(0, len(table), _ROWS_AT_ONCE):
            exponents = table[row : row + _ROWS_AT_ONCE] & _EXPONENT
            if (exponents == _EXPONENT).any():
                raise self._not_finite(name)
        return source_of("bf16", table, shape=(self.shape.vocab_size, self.shape.hidden_size))

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
        has_scales = self.form is WeightForm.PACKED
        linears = [self.linear_name(i, name) for i in layers for name in self.family.linears]
        return [
            EMBEDDING,
            *([] if self.head_name == EMBEDDING else [HEAD]),
            FINAL_NORM,
            *(self.norm_name(layer, name) for layer in layers for name in self.shape.norm_sizes),
            *linears,
            *(f"{name}_scale" for name in linears if has_scales),
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
            if name != HEAD and not name.endswith("rotary_emb.inv_freq"):
                message = f"{self.folder}: the tensor {name} is not known in this family of models"
                raise CheckpointError(message)

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

    def _floats(self, name: str, shape: tuple[int, ...]) -> Float32Array:
        values = widen(self._array(name, _FLOATS, shape))
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


def _open_files(folder: Path) -> dict[str, SafetensorsFile]:
    """Find the file of each tensor: one `model.safetensors`, or the shards that an index names."""
    if (folder / "model.safetensors").is_file():
        file = SafetensorsFile(folder / "model.safetensors")
        return dict.fromkeys(file.tensors, file)
    index_path = folder / "model.safetensors.index.json"
    if not index_path.is_file():
        message = f"{folder} has neither model.safetensors nor model.safetensors.index.json"
        raise CheckpointError(message)
    index = ConfigFile.read(index_path).section("weight_map")
    names = sorted({index.text(tensor) for tensor in index.values})
    if not 0 < len(names) <= _MAX_SHARDS or any(Path(name).name != name for name in names):
        message = f"{index_path} must name 1 to {_MAX_SHARDS} files of its own folder"
        raise CheckpointError(message)
    files = {name: SafetensorsFile(folder / name) for name in names}
    file_of = {tensor: files[index.text(tensor)] for tensor in index.values}
    for tensor, file in file_of.items():
        if tensor not in file.tensors:
            message = f"{index_path} places {tensor} in {file.path}, which does not hold it"
            raise CheckpointError(message)
    num_held = sum(len(file.tensors) for file in files.values())
    if num_held != len(file_of):
        message = f"the files of {index_path} hold {num_held} tensors; it names {len(file_of)}"
        raise CheckpointError(message)
    return file_of
