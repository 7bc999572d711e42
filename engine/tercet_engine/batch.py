"""From chunks to the flat arrays that the model reads: all that C++ ever learns of a sequence."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tercet_engine.scheduler import Chunk

Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]
UInt32Array = npt.NDArray[np.uint32]
UInt64Array = npt.NDArray[np.uint64]

DRAW: Final = -1
"""The target of a row that scores nothing."""
FORBIDDEN: Final = -1e30
"""The bias of a token that must not be drawn: below any logit, and finite, so that sums stay so."""


@dataclass(frozen=True, slots=True)
class SamplingBatch:
    """How to draw one token for each output. One entry per output; ragged lists by their starts."""

    temperature: Float32Array
    top_k: Int32Array
    top_p: Float32Array
    min_p: Float32Array
    seed: UInt64Array
    choice: Int32Array
    position: Int32Array
    repetition_penalty: Float32Array
    seen_starts: Int32Array  # [num_outputs + 1]
    seen_tokens: Int32Array
    presence_penalty: Float32Array
    frequency_penalty: Float32Array
    count_starts: Int32Array  # [num_outputs + 1]
    count_tokens: Int32Array
    counts: Int32Array
    bias_starts: Int32Array  # [num_outputs + 1]
    bias_tokens: Int32Array
    biases: Float32Array
    mask_rows: Int32Array  # row of `masks`, or -1
    masks: UInt32Array  # [n, ceil(vocab / 32)]
    targets: Int32Array  # the token to score, or -1
    num_logprobs: Int32Array  # -1: none


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's tokens.

    Attributes:
        token_ids: int32 [num_tokens], the chunks' tokens one after the other, each chunk's guesses
            after its tokens.
        chunk_starts: int32 [num_chunks + 1], where each chunk begins in `token_ids`.
        positions: int32 [num_chunks], the position of each chunk's first token.
        block_tables: int32 [num_chunks, max_blocks], the rest of a shorter row is 0.
        outputs: int32 [num_outputs], the tokens, by their place in `token_ids`, after which one is
            drawn or scored, ascending.
        sampling: how to draw them.
        pooled: int32 [num_pooled], the tokens whose hidden states are wanted, ascending.
        rows: what each output is.
    """

    token_ids: Int32Array
    chunk_starts: Int32Array
    positions: Int32Array
    block_tables: Int32Array
    outputs: Int32Array
    sampling: SamplingBatch
    pooled: Int32Array
    rows: Sequence["Row"]

    @property
    def has_scores(self) -> bool:
        """Whether some of the outputs score prompt tokens."""
        return not all(row.is_drawn for row in self.rows)

    @property
    def drawn_rows(self) -> list[int]:
        """Rows whose token is drawn, not scored."""
        return [index for index, row in enumerate(self.rows) if row.is_drawn]


@dataclass(frozen=True, slots=True)
class Row:
    """One output.

    Attributes:
        chunk: whose it is.
        place: of the token after which it is, in `Batch.token_ids`.
        num_guesses: how many of the chunk's guesses are before it.
        target: index in the sequence of the prompt token that it scores, or `DRAW`.
    """

    chunk: Chunk
    place: int
    num_guesses: int = 0
    target: int = DRAW

    @property
    def is_drawn(self) -> bool:
        """Whether a token is drawn here and not scored."""
        return self.target == DRAW


def make_batch(chunks: Sequence[Chunk], masks: Mapping[int, UInt32Array] | None = None) -> Batch:
    """Lay out the chunks of one step, which must be at least one.

    Args:
        chunks: what to compute.
        masks: for sequences with a constraint, by their ids: what may be drawn next.
    """
    tokens: list[int] = []
    starts = [0]
    for chunk in chunks:
        first = chunk.seq.num_computed_tokens
        tokens += chunk.seq.tokens[first : first + chunk.num_tokens]
        tokens += chunk.draft
        starts.append(len(tokens))
    begins = list(zip(chunks, starts, strict=False))
    rows = [row for chunk, start in begins for row in _rows(chunk, start)]
    return Batch(
        token_ids=_int32(tokens),
        chunk_starts=_int32(starts),
        positions=_int32([chunk.seq.num_computed_tokens for chunk in chunks]),
        block_tables=_block_tables(chunks),
        outputs=_int32([row.place for row in rows]),
        sampling=_sampling(rows, masks or {}),
        pooled=_int32([place for chunk, start in begins for place in _pooled(chunk, start)]),
        rows=rows,
    )


def _rows(chunk: Chunk, start: int) -> Iterator[Row]:
    """The outputs of a chunk that begins at `start`: prompt tokens to score, then the draws."""
    first = chunk.seq.num_computed_tokens
    for index in chunk.seq.tokens_to_score(first, chunk.num_tokens):
        yield Row(chunk, start + index - first - 1, target=index)
    for num_guesses in range(chunk.num_outputs):
        yield Row(chunk, start + chunk.num_tokens - 1 + num_guesses, num_guesses)


def _pooled(chunk: Chunk, start: int) -> range:
    end = start + chunk.num_tokens
    return range(end - chunk.num_pooled, end)


def _block_tables(chunks: Sequence[Chunk]) -> Int32Array:
    width = max(len(chunk.seq.block_table) for chunk in chunks)
    tables = np.zeros((len(chunks), width), np.int32)
    for row, chunk in zip(tables, chunks, strict=True):
        row[: len(chunk.seq.block_table)] = chunk.seq.block_table
    return tables


def _sampling(rows: Sequence[Row], masks: Mapping[int, UInt32Array]) -> SamplingBatch:
    """How to draw after a chunk and so many of its guesses: as if these had been drawn."""
    sequences = [row.chunk.seq for row in rows]
    params = [seq.params for seq in sequences]
    # Scores are the model's own: what changes logits is left out, which may be much for each row.
    counts = [_counts(row) if row.is_drawn else [] for row in rows]
    seen = [row.chunk.seq.seen_tokens if row.is_drawn else () for row in rows]
    biases = [_biases(row) if row.is_drawn else [] for row in rows]
    mask_of = {seq_id: index for index, seq_id in enumerate(masks)}
    return SamplingBatch(
        temperature=_float32([p.temperature for p in params]),
        top_k=_int32([p.top_k for p in params]),
        top_p=_float32([p.top_p for p in params]),
        min_p=_float32([p.min_p for p in params]),
        seed=np.array([p.seed for p in params], np.uint64),
        choice=_int32([seq.choice for seq in sequences]),
        position=_int32([len(row.chunk.seq.tokens) + row.num_guesses for row in rows]),
        repetition_penalty=_float32([p.repetition_penalty for p in params]),
        seen_starts=_starts(seen),
        seen_tokens=_int32([token for row in seen for token in row]),
        presence_penalty=_float32([p.presence_penalty for p in params]),
        frequency_penalty=_float32([p.frequency_penalty for p in params]),
        count_starts=_starts(counts),
        count_tokens=_int32([token for row in counts for token, _ in row]),
        counts=_int32([count for row in counts for _, count in row]),
        bias_starts=_starts(biases),
        bias_tokens=_int32([token for row in biases for token, _ in row]),
        biases=_float32([bias for row in biases for _, bias in row]),
        mask_rows=_int32([mask_of.get(seq.id, -1) for seq in sequences]),
        masks=np.array(list(masks.values()), np.uint32) if masks else np.empty((0, 0), np.uint32),
        targets=_int32([_target(row) for row in rows]),
        num_logprobs=_int32([_num_logprobs(row) for row in rows]),
    )


def _target(row: Row) -> int:
    return DRAW if row.is_drawn else row.chunk.seq.tokens[row.target]


def _num_logprobs(row: Row) -> int:
    params = row.chunk.seq.params
    asked = params.logprobs if row.is_drawn else params.prompt_logprobs
    return -1 if asked is None else asked


def _counts(row: Row) -> list[tuple[int, int]]:
    seq, counts = row.chunk.seq, row.chunk.seq.generated_counts
    if row.num_guesses and seq.has_penalties:
        counts = counts + Counter(row.chunk.draft[: row.num_guesses])
    return list(counts.items())


def _biases(row: Row) -> list[tuple[int, float]]:
    seq = row.chunk.seq
    forbidden = seq.forbidden_tokens(row.num_guesses)
    return [*seq.params.logit_bias.items(), *((token, FORBIDDEN) for token in forbidden)]


def _starts(rows: Sequence[Sized]) -> Int32Array:
    starts = np.zeros(len(rows) + 1, np.int32)
    np.cumsum([len(row) for row in rows], out=starts[1:])
    return starts


def _int32(values: Sequence[int]) -> Int32Array:
    return np.array(values, np.int32)


def _float32(values: Sequence[float]) -> Float32Array:
    return np.array(values, np.float32)
