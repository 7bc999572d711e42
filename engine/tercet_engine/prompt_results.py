"""What is wanted of a prompt beside its continuation, gathered as its chunks are computed.

A sequence that was preempted computes its prompt again, which gives the same numbers again.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from tercet_engine.batch import Batch
from tercet_engine.completion import Pooling
from tercet_engine.scheduler import Chunk
from tercet_engine.sequence import Sequence
from tercet_engine.step_result import StepResult

Float32Array = npt.NDArray[np.float32]


def keep_scores(batch: Batch, result: StepResult) -> None:
    """Give each sequence the log-probabilities of its prompt tokens that were scored."""
    for index, row in enumerate(batch.rows):
        if not row.is_drawn:
            seq = row.chunk.seq
            scores = result.logprobs(index, seq.params.prompt_logprobs or 0)
            seq.prompt_logprobs[row.target] = scores


def keep_hidden_states(chunks: Iterable[Chunk], result: StepResult) -> None:
    """Add up the hidden states that are wanted, in order and in double, whatever the chunks."""
    begin = 0
    for chunk in chunks:
        if count := chunk.num_pooled:
            assert result.hidden is not None
            seq = chunk.seq
            if seq.pooled is None or not seq.num_computed_tokens:
                seq.pooled = np.zeros(result.hidden.shape[1], np.float64)
            for state in result.hidden[begin : begin + count]:
                seq.pooled += state
            begin += count


def embedding(seq: Sequence) -> Float32Array | None:
    """What became of a prompt's hidden states: float32 [hidden_size]; None if nothing was to."""
    if seq.pooled is None:
        return None
    count = seq.num_prompt_tokens if seq.pooling is Pooling.MEAN else 1
    return (seq.pooled / count).astype(np.float32)
