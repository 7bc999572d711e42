"""Random weights of a real model's shape, to ask how fast a machine would be before downloading.

The numbers are made as they are packed, one matrix at a time, from a fixed seed. Embedding and head
are windows that slide over one small buffer, a row beginning a few values after the one before, so
that they cost no memory; packing the head makes full-size rows of it, and what is timed is real.
"""

import math
import zlib
from typing import Final

import numpy as np

from tercet_engine.checkpoint import EMBEDDING, FINAL_NORM, Float32Array, UInt8Array
from tercet_engine.model_shape import Activation, ModelShape
from tercet_engine.rope import Rope
from tercet_engine.tensor_source import TensorSource, source_of

_GROUP: Final = 128


def _bonsai(
    num_layers: int, hidden_size: int, intermediate_size: int, num_heads: int
) -> ModelShape:
    """Ternary Bonsai: Qwen3 with a float16 scale for every 128 weights, head and embedding too."""
    return ModelShape(
        num_layers=num_layers,
        hidden_size=hidden_size,
        intermediate_size=intermediate_size,
        num_heads=num_heads,
        num_kv_heads=8,
        head_dim=128,
        vocab_size=151_936,
        max_context=32_768,
        rms_norm_eps=1e-6,
        rope=Rope(theta=1e6),
        activation=Activation.SILU,
        has_sub_norms=False,
        has_head_norms=True,
        weight_group=_GROUP,
        activation_group=_GROUP,
        has_ternary_head=True,
    )


SHAPES: Final = {
    "tiny": ModelShape(
        num_layers=4,
        hidden_size=384,
        intermediate_size=1024,
        num_heads=6,
        num_kv_heads=2,
        head_dim=64,
        vocab_size=4096,
        max_context=2048,
    ),
    "700m": ModelShape(
        num_layers=24,
        hidden_size=1536,
        intermediate_size=4096,
        num_heads=16,
        num_kv_heads=16,
        head_dim=96,
        vocab_size=32_002,
        max_context=2048,
    ),
    "2b4t": ModelShape(
        num_layers=30,
        hidden_size=2560,
        intermediate_size=6912,
        num_heads=20,
        num_kv_heads=5,
        head_dim=128,
        vocab_size=128_256,
        max_context=4096,
    ),
    "8b": ModelShape(
        num_layers=32,
        hidden_size=4096,
        intermediate_size=14_336,
        num_heads=32,
        num_kv_heads=8,
        head_dim=128,
        vocab_size=128_256,
        max_context=8192,
    ),
    "bonsai-1.7b": _bonsai(28, 2048, 6144, 16),
    "bonsai-4b": _bonsai(36, 2560, 9728, 32),
    "bonsai-8b": _bonsai(36, 4096, 12_288, 32),
}
"""The shapes that can be asked for by name."""

_ROW_SHIFT: Final = 8
_GROUP_LAYOUT: Final = "q2_0_g128"
_BLOCK_BYTES: Final = 34
_LOGIT_SPREAD: Final = 3.0


class SyntheticWeights:
    """A source of weights like a `Checkpoint`, but made up.

    Args:
        shape: the model's sizes.
        seed: the same seed gives the same weights.
    """

    def __init__(self, shape: ModelShape, seed: int = 0) -> None:
        self.shape = shape
        self.head_name = EMBEDDING
        self._seed = seed
        self._code_of_byte = _valid_codes()[np.arange(256) % 81]

    @property
    def embedding_name(self) -> str:
        """Name of the embedding."""
        return EMBEDDING

    @property
    def needs_grid(self) -> bool:
        """The shape tells it."""
        return False

    def with_shape(self, shape: ModelShape) -> "SyntheticWeights":
        """The same seed with another shape."""
        return SyntheticWeights(shape, self._seed)

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, were they in a file."""
        layers = range(self.shape.num_layers)
        names = [EMBEDDING, FINAL_NORM]
        names += [self.norm_name(i, name) for i in layers for name in self.shape.norm_sizes]
        names += [self.linear_name(i, name) for i in layers for name in self.shape.linear_shapes]
        return sum(map(self.num_bytes_of, names))

    def num_bytes_of(self, name: str) -> int:
        """Bytes of one tensor, were it in a file."""
        if name == EMBEDDING:
            weights = self.shape.vocab_size * self.shape.hidden_size
            return weights // _GROUP * _BLOCK_BYTES if self.shape.has_ternary_head else 2 * weights
        kind = name.rsplit(".", maxsplit=1)[-1]
        if kind in self.shape.linear_shapes and ".linear." in name:
            weights = math.prod(self.shape.linear_shapes[kind])
            return weights // _GROUP * _BLOCK_BYTES if self.shape.weight_group else weights // 4
        return 4 * self.shape.norm_sizes.get(kind, self.shape.hidden_size)

    def norm_name(self, layer: int, name: str) -> str:
        """Name of a norm; layer -1: the final one."""
        return FINAL_NORM if layer < 0 else f"{layer}.norm.{name}"

    def linear_name(self, layer: int, name: str) -> str:
        """Name of a linear layer."""
        return f"{layer}.linear.{name}"

    def norm(self, layer: int, name: str) -> Float32Array:
        """Gains of 1; of the final norm such that logits spread by a few units."""
        if layer < 0:
            gain = _LOGIT_SPREAD / math.sqrt(self.shape.hidden_size)
            return np.full(self.shape.hidden_size, gain, np.float32)
        return np.ones(self.shape.norm_sizes[name], np.float32)

    def linear(self, layer: int, name: str) -> TensorSource:
        """Random codes, with the scale that keeps the size of what goes through."""
        rows, cols = self.shape.linear_shapes[name]
        random = np.random.default_rng([self._seed, layer, *name.encode()])
        scale = math.sqrt(1.5 / cols)
        if self.shape.weight_group:
            blocks = self._blocks(random, rows * cols // _GROUP, scale)
            return source_of(_GROUP_LAYOUT, blocks, shape=(rows, cols))
        draws = np.frombuffer(random.bytes(rows // 4 * cols), np.uint8).reshape(rows // 4, cols)
        return source_of("hf_packed", self._code_of_byte[draws], shape=(rows, cols), scale=scale)

    def bias(self, layer: int, name: str) -> Float32Array:  # noqa: ARG002 -- as of any source
        """Zeros; no shape above has biases."""
        return np.zeros(self.shape.linear_shapes[name][0], np.float32)

    def bias_name(self, layer: int, name: str) -> str:
        """Name of a linear layer's bias."""
        return f"{layer}.bias.{name}"

    def table(self, name: str) -> TensorSource:
        """Random rows [vocab, hidden] that overlap in memory."""
        vocab_size, hidden_size = self.shape.vocab_size, self.shape.hidden_size
        random = np.random.default_rng([self._seed, *name.encode()])
        if self.shape.has_ternary_head:
            blocks = self._blocks(random, vocab_size + hidden_size // _GROUP, 1.0)
            return TensorSource(
                _GROUP_LAYOUT, blocks.reshape(-1), vocab_size, hidden_size, row_stride=_BLOCK_BYTES
            )
        values = random.standard_normal(vocab_size * _ROW_SHIFT + hidden_size, np.float32)
        buffer = (values.view(np.uint32) >> 16).astype(np.uint16)
        return TensorSource(
            "bf16", buffer.view(np.uint8), vocab_size, hidden_size, row_stride=_ROW_SHIFT * 2
        )

    def _blocks(self, random: np.random.Generator, count: int, scale: float) -> UInt8Array:
        """Blocks of a float16 scale, around `scale`, and 128 codes: uint8 [count, 34]."""
        blocks = np.empty((count, _BLOCK_BYTES), np.uint8)
        scales = (scale * random.uniform(0.75, 1.25, count)).astype(np.float16)
        blocks[:, :2] = scales.view(np.uint8).reshape(count, 2)
        draws = np.frombuffer(random.bytes(count * (_BLOCK_BYTES - 2)), np.uint8)
        blocks[:, 2:] = self._code_of_byte[draws].reshape(count, _BLOCK_BYTES - 2)
        return blocks

    def crc32(self, name: str) -> int:
        """What decides the tensor's values."""
        return zlib.crc32(f"{name} {self._seed}".encode())

    def forget(self, name: str) -> None:
        """Nothing is kept."""


def _valid_codes() -> UInt8Array:
    """The 81 bytes made of four codes below 3."""
    return np.array(
        [a | b << 2 | c << 4 | d << 6 for a, b, c, d in np.ndindex(3, 3, 3, 3)], np.uint8
    )
