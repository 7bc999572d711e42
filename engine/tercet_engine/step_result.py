"""What a runner gives back for one batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tercet_engine.completion import TokenLogprobs

Int32Array = npt.NDArray[np.int32]
Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StepResult:
    """One batch, computed.

    Attributes:
        tokens: one for each output: drawn, or the one that was scored.
        token_logprobs: float32 [num_outputs], of `tokens`; NaN where they were not asked for.
        top_tokens: int32 [num_outputs, most asked for], the likeliest first; the rest is -1.
        top_logprobs: float32, the same shape, of `top_tokens`.
        hidden: float32 [num_pooled, hidden_size], the states of the batch's `pooled` tokens.
    """

    tokens: Sequence[int]
    token_logprobs: Float32Array | None = None
    top_tokens: Int32Array | None = None
    top_logprobs: Float32Array | None = None
    hidden: Float32Array | None = None

    def logprobs(self, row: int, num_top: int) -> TokenLogprobs:
        """The log-probabilities of one output for which they were asked."""
        assert self.token_logprobs is not None
        assert self.top_tokens is not None
        assert self.top_logprobs is not None
        tokens = self.top_tokens[row, :num_top].tolist()
        logprobs = self.top_logprobs[row, :num_top].tolist()
        own = float(self.token_logprobs[row])
        return TokenLogprobs(self.tokens[row], own, tuple(zip(tokens, logprobs, strict=True)))
