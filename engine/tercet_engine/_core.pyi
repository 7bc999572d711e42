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
_UInt32Array: TypeAlias = npt.NDArray[np.uint32]
_UInt64Array: TypeAlias = npt.NDArray[np.uint64]

BLOCK_SIZE: Final[int]
"""Tokens per block of the KV cache."""
NUMERICS_VERSION: Final[int]
"""Raised whenever a change of the arithmetic changes results; part of the fingerprint."""
MAX_LOGPROBS: Final[int]
"""Likeliest tokens that one row of `Model.sample` may ask for."""

def supported_kernels() -> list[str]:
    """Names of the kernel sets that this CPU and OS can run, best first; "reference" is last."""

def all_kernels() -> list[str]:
    """Names of every kernel set in this build, best first."""

def packings(kernels: str, *, grouped: bool = False) -> list[str]:
    """Names of the ways in which a kernel set can keep weights, with a scale a row or a group."""

def cpu_features() -> list[str]:
    """The instruction sets found that some kernel set asks for, e.g. "avx2"."""

def tell_of_lost_pages() -> None:
    """From now on end with a sentence when a page of a mapped file is gone."""

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
        rope_frequencies: list[float],
        rope_scale: float,
        activation: str,
        has_sub_norms: bool,
        has_head_norms: bool,
        linear_norm_eps: float | None,
        embedding_scale: float,
        residual_scale: float,
        logit_scale: float,
        weight_group: int,
        activation_group: int,
        has_two_terms: bool,
    ) -> None: ...

class TensorSource:
    """A matrix as it lies in a file; `tensor_source.py` describes the layouts.

    `data` is kept and never copied, so it may be a memory map. `scale` multiplies every value.
    Raises `ValueError` unless there are as many bytes as the layout needs for [rows, cols].
    """

    def __init__(
        self,
        layout: str,
        data: _UInt8Array,
        *,
        rows: int,
        cols: int,
        scale: float = 1.0,
        rope_head_dim: int = 0,
        row_stride: int = 0,
    ) -> None: ...
    @property
    def row_bytes(self) -> int:
        """Bytes of one row, of layouts whose rows are blocks; gaps between rows left out."""

    def numbers(self, row: int) -> _Float32Array:
        """One row as numbers, float32 [cols]."""

    def count_off_grid(self, num_threads: int) -> dict[int, int]:
        """How many weights differ from 0 and the magnitude that most of their group have.

        By group: 256, 128 or 64 columns, or 0 for whole rows. Releases the GIL. `ValueError` names
        the row with a number that is not finite.
        """

class PackedTiles:
    """A matrix as it lies in a converted model: all its parts, each from a tile on.

    `tiles` may be a memory map; to be used in place they begin at a multiple of 64 bytes.
    `row_scales` has one for every row of the tiles; outliers, `outlier_places` [n, 2] being
    their rows and columns, are sorted by these.
    """

    def __init__(
        self,
        tiles: _UInt8Array,
        *,
        row_scales: _Float32Array,
        outlier_places: _UInt32Array,
        outlier_values: _Float32Array,
    ) -> None: ...
    @property
    def tiles(self) -> _UInt8Array: ...
    @property
    def row_scales(self) -> _Float32Array: ...
    @property
    def outlier_places(self) -> _UInt32Array: ...
    @property
    def outlier_values(self) -> _Float32Array: ...

class PackedPlane:
    """An int8 head as it lies in a converted model."""

    def __init__(
        self,
        high: _UInt8Array,
        *,
        row_scales: _Float32Array,
        screen_scales: _Float32Array,
        margins: _Float32Array,
    ) -> None: ...
    @property
    def high(self) -> _UInt8Array: ...
    @property
    def row_scales(self) -> _Float32Array: ...
    @property
    def screen_scales(self) -> _Float32Array: ...
    @property
    def margins(self) -> _Float32Array: ...

def pack_tiles(
    source: TensorSource,
    *,
    weight_group: int,
    activation_group: int,
    multiplier: float,
    num_threads: int,
) -> PackedTiles:
    """Pack a matrix, whose values are multiplied by `multiplier` too, for a converted model.

    `ValueError` says where a code means no weight. Releases the GIL.
    """

def pack_head(source: TensorSource, *, kernels: str, num_threads: int) -> PackedPlane:
    """Pack a table as an int8 head; every kernel set packs alike. Releases the GIL."""

def tiles_packing(kernels: str, *, grouped: bool) -> str | None:
    """Name of the packing in which a kernel set multiplies a converted model's tiles, if any."""

class ModelBuilder:
    """Takes a model's tensors one by one, packing each for the chosen kernels and forgetting it.

    `kernels` is one of `supported_kernels()`, or "" for the best. `head` is "int8", "bf16" or
    "ternary". `packing` is one of `packings(kernels)`, or "auto" for the one that a short
    measurement finds fastest. `max_batch_tokens` and `max_batch_chunks` bound what one `forward`
    may be given: every buffer it needs is allocated by `build`.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        kernels: str,
        head: str,
        packing: str,
        num_threads: int,
        max_batch_tokens: int,
        max_batch_chunks: int,
    ) -> None: ...
    @staticmethod
    def weight_bytes(config: ModelConfig, *, kernels: str, head: str, packing: str) -> int:
        """What the packed weights will take, head included; with "auto" at most."""

    def set_norm(self, layer: int, name: str, weight: _Float32Array) -> None:
        """Set a norm's gains.

        `name` is one of `ModelShape.norm_sizes`; with layer -1 it is "final".
        """

    def set_linear(self, layer: int, name: str, source: TensorSource) -> None:
        """`name`: "q", "k", "v", "o", "gate", "up", "down".

        Weights that are on no grid are kept as they are, beside the packed ones. A code that means
        no weight raises `ValueError` with its place.
        """

    def set_bias(self, layer: int, name: str, bias: _Float32Array) -> None:
        """What a linear layer adds to its outputs, [rows]; those without one add nothing."""

    def set_embedding(self, table: TensorSource) -> None:
        """[vocab, hidden] in any layout. It is kept: a few rows are read per token."""

    def set_head(self, table: TensorSource) -> None:
        """[vocab, hidden]; packed for an int8 or a ternary head, and kept.

        Tied models give the embedding's table here too. `ValueError` if a ternary head's table is
        not ternary.
        """

    def set_packed(self, layer: int, name: str, matrix: PackedTiles, *, in_place: bool) -> None:
        """`name`: "qkv", "o", "gate_up", "down", instead of the linear layers in it.

        Tiles are copied where the packing is theirs, else packed anew. With `in_place` they are
        used where they lie: the packing must be `tiles_packing`.
        """

    def set_packed_head(
        self, table: TensorSource, head: PackedTiles | PackedPlane, *, in_place: bool
    ) -> None:
        """Instead of `set_head`; tiles are of a ternary head, a plane is of an int8 one."""

    def build(self) -> Model:
        """Make the model; the builder is spent. `ValueError` names the first tensor not set."""

class KVCache:
    """Keys and values of `num_blocks` blocks.

    `kind` is "bf16", "f32" or "int8". With `touch` the memory is really taken at once, else page by
    page as blocks are first used.
    """

    def __init__(
        self, model: Model, num_blocks: int, *, kind: str = "bf16", touch: bool = False
    ) -> None: ...
    @property
    def num_blocks(self) -> int: ...
    @staticmethod
    def block_bytes(config: ModelConfig, *, kind: str = "bf16") -> int: ...

class Samples:
    """What `Model.sample` drew and scored, one row per output.

    Log-probabilities are the model's own: of the logits before mask, penalties, bias and
    temperature. A token has the same float wherever it is named.
    """

    @property
    def tokens(self) -> _Int32Array:
        """int32 [num_outputs]: drawn, or the row's target."""

    @property
    def token_logprobs(self) -> _Float32Array:
        """float32 [num_outputs]: of `tokens`; NaN where neither target nor logprobs were asked."""

    @property
    def top_tokens(self) -> _Int32Array:
        """int32 [num_outputs, most asked for]: likeliest first, the lower id of equals; rest -1."""

    @property
    def top_logprobs(self) -> _Float32Array:
        """float32 [num_outputs, most asked for]: of `top_tokens`; rest NaN."""

class Model:
    """Packed weights, a thread pool and the buffers of one forward pass. Not thread-safe."""

    @property
    def kernels(self) -> str: ...
    @property
    def packing(self) -> str: ...
    @property
    def num_threads(self) -> int: ...
    @property
    def weight_bytes(self) -> int:
        """Bytes held in packed weights, head included, embedding table not.

        Half of an int8 head is packed when it is first needed, some rows by most draws, all of them
        by the first that needs whole logits; until then that part of the memory is not touched.
        """

    @property
    def decode_bytes(self) -> int:
        """Bytes of weights that are read to compute one token, head included.

        Of an int8 head half: a draw that needs whole logits reads as much again.
        """

    @property
    def num_outliers(self) -> int:
        """Weights of the layers that are on no grid and kept as they are."""

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
        """Compute one batch of chunks; afterwards the model holds what `outputs` came to.

        Args:
            cache: read up to, and written at, the chunks' positions.
            token_ids: int32 [num_tokens], the chunks' tokens one after the other.
            chunk_starts: int32 [num_chunks + 1], where each begins in `token_ids`, and the end.
            positions: int32 [num_chunks], the position of each chunk's first token in its sequence.
            block_tables: int32 [num_chunks, max_blocks], the blocks of each sequence, in order.
            outputs: int32 [num_outputs], tokens of the batch to `sample` after, ascending.
        """

    def sample(
        self,
        *,
        temperature: _Float32Array,
        top_k: _Int32Array,
        top_p: _Float32Array,
        min_p: _Float32Array,
        seed: _UInt64Array,
        choice: _Int32Array,
        position: _Int32Array,
        repetition_penalty: _Float32Array,
        seen_starts: _Int32Array,
        seen_tokens: _Int32Array,
        presence_penalty: _Float32Array,
        frequency_penalty: _Float32Array,
        count_starts: _Int32Array,
        count_tokens: _Int32Array,
        counts: _Int32Array,
        bias_starts: _Int32Array,
        bias_tokens: _Int32Array,
        biases: _Float32Array,
        mask_rows: _Int32Array,
        masks: _UInt32Array,
        targets: _Int32Array,
        num_logprobs: _Int32Array,
    ) -> Samples:
        """Draw, or score, one token for each output of the last `forward`; may be called again.

        Arrays have one entry per output, but for the ragged ones: row r has the entries from
        starts[r] to starts[r + 1]. A draw changes the logits in the order mask, repetition penalty,
        frequency and presence penalties, bias, temperature, min_p, top_k, top_p, and takes the
        largest of logit / temperature + Gumbel(seed, choice, position, token). A temperature below
        1e-5 takes the largest logit, the lowest id where two are equal.

        Args:
            temperature: 0 is greedy.
            top_k: 0 is off.
            top_p: 1 is off.
            min_p: 0 is off.
            seed: with `choice` and `position`, all that the randomness depends on.
            choice: which of a request's answers this is.
            position: of the token to draw.
            repetition_penalty: p divides the positive logits of `seen` tokens and multiplies the
                others; 1 is off.
            seen_starts: [num_outputs + 1].
            seen_tokens: of prompt and answer, each once.
            presence_penalty: subtracted once from each of `count_tokens`.
            frequency_penalty: subtracted `counts` times.
            count_starts: [num_outputs + 1].
            count_tokens: of the answer, each once.
            counts: how often each occurred.
            bias_starts: [num_outputs + 1].
            bias_tokens: whose logits get a bias.
            biases: finite, added.
            mask_rows: row of `masks`, or -1 for none. No bias makes a token possible that its mask
                does not allow.
            masks: [n, ceil(vocab / 32)]: token t is allowed if bit t % 32 of word t // 32 is set.
                `ValueError`, before anything is drawn, if a mask allows nothing.
            targets: the token to score; nothing is drawn and everything above is ignored. -1: draw.
            num_logprobs: how many of the likeliest tokens to name, at most `MAX_LOGPROBS`; -1: no
                log-probabilities (but that of a target).
        """

    def head_stats(self) -> dict[str, int]:
        """How often half of an int8 head decided a draw, since the model was built.

        screened: tokens drawn from the high plane; finished: logits computed for them; full: rows
        of logits computed for the other tokens; undecided: those of them that were screened first.
        """

    def logits(self) -> _Float32Array:
        """Compute the logits of the last `forward`'s outputs: float32 [num_outputs, vocab]."""

    def hidden(self, tokens: _Int32Array) -> _Float32Array:
        """States after the final norm of any tokens of the last `forward`: float32 [n, hidden].

        Args:
            tokens: int32 [n], by their place in that call's `token_ids`.
        """

    def apply_linear(self, layer: int, name: str, activations: _Float32Array) -> _Float32Array:
        """One linear as `forward` computes it: float32 [n, cols] -> [n, rows], for tests."""

    def close(self) -> None:
        """Join the threads."""
