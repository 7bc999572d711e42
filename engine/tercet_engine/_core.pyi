"""The C++ engine: arrays in, arrays out. Knows no text, no files and no sockets.

Arrays are C-contiguous and of exactly the stated dtype; anything else raises `TypeError`, so no
copy is ever made silently. Wrong shapes and values raise `ValueError`. `forward`, `sample` and
`ModelBuilder`'s packing release the GIL.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

_Int32Array: TypeAlias = npt.NDArray[np.int32]
_Float32Array: TypeAlias = npt.NDArray[np.float32]
_UInt8Array: TypeAlias = npt.NDArray[np.uint8]
_UInt16Array: TypeAlias = npt.NDArray[np.uint16]
_UInt64Array: TypeAlias = npt.NDArray[np.uint64]

BLOCK_SIZE: Final[int]
"""Tokens per block of the KV cache."""
NUMERICS_VERSION: Final[int]
"""Raised whenever a change of the arithmetic changes results; part of the fingerprint."""

def supported_kernels() -> list[str]:
    """Names of the kernel sets that this CPU and OS can run, best first; "reference" is last."""

def all_kernels() -> list[str]:
    """Names of every kernel set in this build, best first."""

def cpu_features() -> list[str]:
    """The instruction sets found that some kernel set asks for, e.g. "avx2"."""

def self_test(kernels: str) -> str | None:
    """Compare a kernel set with the reference on a few hundred values.

    Returns None when every bit agrees, else a sentence naming the function that differs.
    """

def measure_bandwidth(num_threads: int, num_bytes: int, num_rounds: int) -> float:
    """The best bytes per second read from memory, several streams per thread, over `num_rounds`."""

class ModelConfig:
    """The sizes of a model. Raises `ValueError` naming the relation that does not hold."""

    def __init__(
        self,
        *,
        num_layers: int,
        hidden_size: int,
        intermediate_size: int,
        num_heads: int,
        num_kv_heads: int,
        head_dim: int,
        vocab_size: int,
        max_context: int,
        rms_norm_eps: float,
        rope_theta: float,
    ) -> None: ...

class ModelBuilder:
    """Takes a model's tensors one by one, packing each for the chosen kernels and forgetting it.

    `kernels` is one of `supported_kernels()`, or "" for the best. `head` is "int8" or "bf16".
    `max_batch_tokens`, `max_batch_chunks` and `max_batch_outputs` bound what one `forward` may be
    given: every buffer it needs is allocated by `build`.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        kernels: str,
        head: str,
        num_threads: int,
        max_batch_tokens: int,
        max_batch_chunks: int,
        max_batch_outputs: int,
    ) -> None: ...
    def set_norm(self, layer: int, name: str, weight: _Float32Array) -> None:
        """Set a norm's gains.

        `name` is "attention", "attention_sub", "feed_forward" or "feed_forward_sub"; with layer -1
        it is "final".
        """

    def set_linear(self, layer: int, name: str, codes: _UInt8Array, scale: float) -> None:
        """`name`: "q", "k", "v", "o", "gate", "up", "down". `codes`: uint8 [rows / 4, cols].

        The bits 2i..2i+1 of codes[r, c] hold the weight of row r + i * rows / 4 plus one; code 3
        raises `ValueError` with its place. weight = (code - 1) * scale.
        """

    def set_embedding(self, table: _UInt16Array) -> None:
        """`table`: bfloat16 bits [vocab, hidden], rows of any stride.

        It is kept and never copied, so it may be a memory map.
        """

    def set_head(self, table: _UInt16Array) -> None:
        """`table`: bfloat16 bits [vocab, hidden]; an int8 head packs it, a bf16 head keeps it.

        Tied models give the embedding's table here too.
        """

    def build(self) -> Model:
        """Make the model; the builder is spent. `ValueError` names the first tensor not set."""

class KVCache:
    """Keys and values of `num_blocks` blocks.

    `kind` is "bf16" or "f32". With `touch` the memory is really taken at once, else page by page as
    blocks are first used.
    """

    def __init__(
        self, model: Model, num_blocks: int, *, kind: str = "bf16", touch: bool = False
    ) -> None: ...
    @property
    def num_blocks(self) -> int: ...
    @staticmethod
    def block_bytes(config: ModelConfig, *, kind: str = "bf16") -> int: ...

class Model:
    """Packed weights, a thread pool and the buffers of one forward pass. Not thread-safe."""

    @property
    def kernels(self) -> str: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def weight_bytes(self) -> int:
        """Bytes held in packed weights, head included, embedding table not."""

    @property
    def decode_bytes(self) -> int:
        """Bytes of weights that are read to compute one token, head included."""

    @property
    def workspace_bytes(self) -> int: ...
    def forward(
        self,
        cache: KVCache,
        token_ids: _Int32Array,
        chunk_starts: _Int32Array,
        positions: _Int32Array,
        block_tables: _Int32Array,
        outputs: _Int32Array,
    ) -> None:
        """Compute one batch of chunks; afterwards the logits of `outputs` are held by the model.

        Args:
            cache: read up to, and written at, the chunks' positions.
            token_ids: int32 [num_tokens], the chunks' tokens one after the other.
            chunk_starts: int32 [num_chunks + 1], where each begins in `token_ids`, and the end.
            positions: int32 [num_chunks], the position of each chunk's first token in its sequence.
            block_tables: int32 [num_chunks, max_blocks], the blocks of each sequence, in order.
            outputs: int32 [num_outputs], tokens of the batch whose logits are wanted, ascending.
        """

    def sample(
        self,
        temperature: _Float32Array,
        top_k: _Int32Array,
        top_p: _Float32Array,
        min_p: _Float32Array,
        seed: _UInt64Array,
        choice: _Int32Array,
        position: _Int32Array,
        presence_penalty: _Float32Array,
        frequency_penalty: _Float32Array,
        count_starts: _Int32Array,
        count_tokens: _Int32Array,
        counts: _Int32Array,
        bias_starts: _Int32Array,
        bias_tokens: _Int32Array,
        biases: _Float32Array,
    ) -> _Int32Array:
        """Draw one token from each row of logits that the last `forward` left; they are spent.

        The first nine arrays have one entry per output of that `forward`. Token counts (of
        generated tokens, for the penalties) and biases are ragged: row r has the entries from
        starts[r] to starts[r + 1]. Order: penalties, bias, temperature, min_p, top_k, top_p; then
        the largest of logit / temperature + Gumbel(seed, choice, position, token). A temperature
        below 1e-5 takes the largest logit, the lowest id where two are equal.

        Returns:
            int32 [num_outputs]
        """

    def logits(self) -> _Float32Array:
        """A copy of the last `forward`'s logits, float32 [num_outputs, vocab]."""

    def apply_linear(self, layer: int, name: str, activations: _Float32Array) -> _Float32Array:
        """One linear as `forward` computes it: float32 [n, cols] -> [n, rows], for tests."""

    def close(self) -> None:
        """Join the threads."""
