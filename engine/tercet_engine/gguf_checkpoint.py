"""A checkpoint in one GGUF file: its tensors by our names, every type, shape and scale checked."""

import copy
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tercet_engine.checkpoint import Float32Array, UInt8Array
from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.families import find_family
from tercet_engine.families.family import WeightForm
from tercet_engine.finite import are_finite
from tercet_engine.gguf import GgufFile, GgufTensor
from tercet_engine.gguf_config import config_of, find_gguf_family
from tercet_engine.model_shape import LINEARS, ModelShape
from tercet_engine.tensor_source import TensorSource

_EMBEDDING: Final = "token_embd.weight"
_FINAL_NORM: Final = "output_norm.weight"
_HEAD: Final = "output.weight"
_LINEARS: Final = {
    "q": "attn_q",
    "k": "attn_k",
    "v": "attn_v",
    "o": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
_NORMS: Final = {
    "attention": "attn_norm",
    "attention_sub": "attn_sub_norm",
    "feed_forward": "ffn_norm",
    "feed_forward_sub": "ffn_sub_norm",
    "query": "attn_q_norm",
    "key": "attn_k_norm",
}
_ROPE_FACTORS: Final = {
    "rope_freqs.weight": "all",
    "rope_factors_short.weight": "short",
    "rope_factors_long.weight": "long",
}
_BLOCKS: Final = {"tq1_0": 256, "tq2_0": 256, "q2_0_g64": 64, "q2_0_g128": 128, "ptq1_0": 128}
"""Layouts whose blocks have a float16 scale: columns of a block."""
_GROUPS: Final = [0, 256, 128, 64]
_ROWS_AT_ONCE: Final = 256
_ZEROS: Final = {
    "tq1_0": np.array([0x80] * 48 + [0x7F] * 4, np.uint8),
    "ptq1_0": np.array([0x80] * 24 + [0x7F] * 2, np.uint8),
}
"""The codes of a block of zeros; in the other layouts every byte is four codes of 1."""
_TERNARY: Final = ("i2_s", *_BLOCKS)
_SCALE_FIRST: Final = ("q2_0_g64", "q2_0_g128")
_NUMBERS: Final = ("f32", "f16", "bf16")
_TABLES: Final = (*_NUMBERS, "q8_0", "q6_k", "q4_0", *_BLOCKS)
_OTHER_NAMES: Final = {"pq2_0": "q2_0_g128"}


class GgufCheckpoint:
    """An opened file. Opening reads the header, and of blocks what tells the grid.

    Attributes:
        shape: the model's.
        form: DENSE where C++ has to find the grid of plain numbers.
        overrides: what the file leaves out or gets wrong and is put right, in words.

    Raises:
        CheckpointError: something is missing or damaged; the message names it.
        UnsupportedModel: it is of a kind that this engine does not know.
    """

    def __init__(self, source: Path | GgufFile) -> None:
        self.file = GgufFile(source) if isinstance(source, Path) else source
        self.folder = self.file.path
        tensors = self.file.tensors
        gguf_family = find_gguf_family(self.file.config)
        self._has_paired_rows = gguf_family.has_paired_rows
        self.overrides = gguf_family.overrides
        self.config = config_of(
            self.file.config,
            gguf_family,
            vocab_size=self._tensor(_EMBEDDING).shape[0],
            quantises_activations=any(tensor.layout == "i2_s" for tensor in tensors.values()),
            rope_factors=self._rope_factors(),
            tensor_names=tensors,
        )
        self.family = find_family(self.config)
        plan = self.family.read_plan(self.config)
        self.shape = plan.shape
        self.head_name = _HEAD if _HEAD in tensors else _EMBEDDING
        self._check_names()
        layouts = self._linear_layouts()
        self.form = WeightForm.DENSE if layouts & set(_NUMBERS) else WeightForm.PACKED
        if not self.needs_grid:
            has_ternary_head = self._layout(self.head_name) in _BLOCKS
            group = self._common_group()
            self.shape = replace(plan.shape, weight_group=group, has_ternary_head=has_ternary_head)

    @property
    def embedding_name(self) -> str:
        """The file's name of the embedding."""
        return _EMBEDDING

    @property
    def default_template(self) -> str | None:
        """The chat template of a model of this family that brings none."""
        return self.family.chat_template

    @property
    def needs_grid(self) -> bool:
        """Whether the weights are plain numbers, whose grid is yet to be found."""
        return self.form is WeightForm.DENSE

    def with_shape(self, shape: ModelShape) -> "GgufCheckpoint":
        """The same file with a shape that tells more, say what its tensors have proved."""
        other = copy.copy(self)
        other.shape = shape
        return other

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors that are part of the model."""
        return sum(tensor.num_bytes for tensor in self.file.tensors.values())

    def num_bytes_of(self, name: str) -> int:
        """Bytes of one tensor in the file."""
        return self.file.tensors[name].num_bytes

    def linear_name(self, layer: int, name: str) -> str:
        """The file's name of a linear layer's weight."""
        return f"blk.{layer}.{_LINEARS[name]}.weight"

    def bias_name(self, layer: int, name: str) -> str:
        """The file's name of a linear layer's bias."""
        return f"blk.{layer}.{_LINEARS[name]}.bias"

    def norm_name(self, layer: int, name: str) -> str:
        """The file's name of a norm; layer -1: the final one."""
        return _FINAL_NORM if layer < 0 else f"blk.{layer}.{_NORMS[name]}.weight"

    def norm(self, layer: int, name: str) -> Float32Array:
        """Read a norm's gains, float32 [size]; layer -1: the final norm."""
        size = self.shape.hidden_size if layer < 0 else self.shape.norm_sizes[name]
        return self._floats(self.norm_name(layer, name), size)

    def bias(self, layer: int, name: str) -> Float32Array:
        """Read a linear layer's bias, float32 [rows], in the order of the matrix's rows."""
        rows, _ = self.shape.linear_shapes[name]
        values = self._floats(self.bias_name(layer, name), rows)
        return values[self._rows_in_file(rows)] if self._is_paired(name) else values

    def linear(self, layer: int, name: str) -> TensorSource:
        """View a linear layer."""
        source = self._matrix(self.linear_name(layer, name), self.shape.linear_shapes[name])
        return (
            replace(source, rope_head_dim=self.shape.head_dim) if self._is_paired(name) else source
        )

    def table(self, name: str) -> TensorSource:
        """View the embedding or the head, [vocab, hidden]."""
        if (layout := self._layout(name)) not in _TABLES:
            message = f"{self.folder}: {name} is {layout}; supported: {', '.join(_TABLES)}"
            raise UnsupportedModel(message)
        table = self._matrix(name, (self.shape.vocab_size, self.shape.hidden_size))
        if not are_finite(layout, table.data):
            message = f"{self.folder}: {name} holds values that are not finite"
            raise CheckpointError(message)
        return table

    def crc32(self, name: str) -> int:
        """Checksum of a tensor's bytes."""
        with self.file.bytes_of(name) as content:
            return zlib.crc32(content)

    def forget(self, name: str) -> None:
        """Give back the memory of a tensor's mapped pages."""
        self.file.forget(name)

    def _linears(self) -> list[tuple[int, str]]:
        return [(layer, name) for layer in range(self.shape.num_layers) for name in LINEARS]

    def _check_names(self) -> None:
        layers = range(self.shape.num_layers)
        expected = {
            _EMBEDDING,
            _FINAL_NORM,
            *(self.linear_name(layer, name) for layer, name in self._linears()),
            *(self.norm_name(layer, name) for layer in layers for name in self.shape.norm_sizes),
            *(self.bias_name(layer, name) for layer in layers for name in self.shape.biases),
        }
        for name in sorted(expected - set(self.file.tensors)):
            message = f"{self.folder}: the tensor {name} is missing"
            raise CheckpointError(message)
        for name in sorted(set(self.file.tensors) - expected - {_HEAD, *_ROPE_FACTORS}):
            message = f"{self.folder}: the tensor {name} is not known in this family of models"
            raise CheckpointError(message)

    def _tensor(self, name: str) -> GgufTensor:
        if name not in self.file.tensors:
            message = f"{self.folder}: the tensor {name} is missing"
            raise CheckpointError(message)
        return self.file.tensors[name]

    def _layout(self, name: str) -> str:
        layout = self._tensor(name).layout
        return _OTHER_NAMES.get(layout, layout)

    def _check_shape(self, name: str, shape: tuple[int, int]) -> None:
        found = self._tensor(name).shape
        if found != shape:
            message = f"{self.folder}: {name} should be {list(shape)}; found {list(found)}"
            raise CheckpointError(message)

    def _matrix(self, name: str, shape: tuple[int, int]) -> TensorSource:
        self._check_shape(name, shape)
        data = self.file.array(name)
        layout = self._layout(name)
        scale = self._scale(name, data, shape) if layout == "i2_s" else 1.0
        return TensorSource(layout, data, *shape, scale)

    def _scale(self, name: str, data: UInt8Array, shape: tuple[int, int]) -> float:
        """The float32 after all codes of an I2_S matrix."""
        begin = shape[0] * shape[1] // 4
        scale = float(data[begin : begin + 4].copy().view(np.float32)[0])
        if not 0 < scale < np.inf:
            message = f"{self.folder}: the scale of {name} should be over 0; found {scale}"
            raise CheckpointError(message)
        return scale

    def _floats(self, name: str, size: int) -> Float32Array:
        tensor = self._tensor(name)
        if tensor.shape != (size,) or tensor.layout not in _NUMBERS:
            message = (
                f"{self.folder}: {name} should be {', '.join(_NUMBERS)} [{size}]; found "
                f"{tensor.layout} {list(tensor.shape)}"
            )
            raise CheckpointError(message)
        data = self.file.array(name).copy()
        match tensor.layout:
            case "f32":
                values = data.view(np.float32)
            case "f16":
                values = data.view(np.float16).astype(np.float32)
            case _:
                values = (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        if not np.isfinite(values).all():
            message = f"{self.folder}: {name} holds values that are not finite"
            raise CheckpointError(message)
        return values

    def _rope_factors(self) -> dict[str, list[float]]:
        found = {key: name for name, key in _ROPE_FACTORS.items() if name in self.file.tensors}
        return {
            key: self._floats(name, self.file.tensors[name].shape[0]).tolist()
            for key, name in found.items()
        }

    def _is_paired(self, name: str) -> bool:
        return self._has_paired_rows and name in {"q", "k"}

    def _rows_in_file(self, rows: int) -> npt.NDArray[np.int64]:
        """Of each row of the matrix, where it lies (`TensorSource.rope_head_dim`)."""
        half = self.shape.head_dim // 2
        heads = np.arange(rows).reshape(-1, half, 2)
        return np.concatenate([heads[..., 0], heads[..., 1]], axis=1).reshape(-1)

    def _linear_layouts(self) -> set[str]:
        layouts = set()
        for layer, name in self._linears():
            tensor = self.linear_name(layer, name)
            layout = self._layout(tensor)
            if layout not in _TERNARY and layout not in _NUMBERS:
                message = (
                    f"{self.folder}: {tensor} is {layout}, which is not ternary; Tercet serves "
                    f"models whose weights are -1, 0 and +1 times a scale: {', '.join(_TERNARY)}"
                )
                raise UnsupportedModel(message)
            self._check_shape(tensor, self.shape.linear_shapes[name])
            layouts.add(layout)
        return layouts

    def _common_group(self) -> int:
        """The largest group of columns that share a scale in every matrix; 0: whole rows do.

        A matrix is read only as long as it may still say something new: where blocks are groups the
        first rows tell, and only where whole rows share a scale is every block looked at.
        """
        largest = _GROUPS
        for layer, name in self._linears():
            tensor = self.linear_name(layer, name)
            block = _BLOCKS.get(self._layout(tensor))
            if block is None or _divides(largest[0], block):
                continue
            _, num_cols = self.shape.linear_shapes[name]
            largest = [group for group in largest if _is_cut_by(num_cols, group, block)]
            for scales, are_zeros in self._block_scales(tensor, block):
                if not _share_scales(scales, largest[0], block):
                    scales[are_zeros()] = 0  # a block of zeros has any scale
                while not _share_scales(scales, largest[0], block):
                    largest = largest[1:]  # what shares a larger group shares the smaller ones
                if _divides(largest[0], block):
                    break
            self.forget(tensor)
        return largest[0]

    def _block_scales(
        self, name: str, block: int
    ) -> Iterator[tuple[Float32Array, Callable[[], npt.NDArray[np.bool_]]]]:
        """The scales of a matrix's blocks, some rows at a time, and which blocks are all zeros."""
        num_rows, num_cols = self._tensor(name).shape
        layout = self._layout(name)
        blocks = self.file.array(name).reshape(num_rows, num_cols // block, -1)
        is_first = layout in _SCALE_FIRST
        zeros = _ZEROS.get(layout, np.uint8(0x55))
        for row in range(0, num_rows, _ROWS_AT_ONCE):
            rows = blocks[row : row + _ROWS_AT_ONCE]
            halves = rows[..., :2] if is_first else rows[..., -2:]
            codes = rows[..., 2:] if is_first else rows[..., :-2]
            scales = halves.copy().view(np.float16).astype(np.float32)[..., 0]
            if not np.isfinite(scales).all():
                message = f"{self.folder}: {name} has a scale that is not finite"
                raise CheckpointError(message)
            yield scales, partial(_are_all, codes, zeros)


def _are_all(codes: UInt8Array, wanted: UInt8Array | np.uint8) -> npt.NDArray[np.bool_]:
    """Which blocks hold nothing but the wanted codes."""
    return np.asarray((codes == wanted).all(axis=-1))


def _divides(group: int, block: int) -> bool:
    """Whether blocks of that size are whole groups, whatever their scales."""
    return group != 0 and block % group == 0


def _is_cut_by(num_cols: int, group: int, block: int) -> bool:
    """Whether rows are whole groups of whole blocks, or of parts of one."""
    return _divides(group, block) or (group % block == 0 and num_cols % (group or num_cols) == 0)


def _share_scales(scales: Float32Array, group: int, block: int) -> bool:
    """Whether blocks within each group have one scale; those of zeros have any."""
    if _divides(group, block):
        return True
    width = group or scales.shape[1] * block
    groups = scales.reshape(-1, width // block)
    present = groups != 0
    low = np.where(present, groups, np.inf).min(axis=1)
    high = np.where(present, groups, -np.inf).max(axis=1)
    return bool((low >= high).all())
