"""The runner that is the real model: arrays to C++, tokens back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tercet_engine import _core
from tercet_engine.batch import Batch
from tercet_engine.config import BLOCK_SIZE, KvType
from tercet_engine.step_result import StepResult

assert _core.BLOCK_SIZE == BLOCK_SIZE, "the extension was built for other blocks"


class ModelRunner:
    """Runs batches on a built model and its KV cache; it owns both.

    Args:
        model: built for at least the engine's batch sizes.
        num_blocks: blocks of the KV cache, allocated here.
        kv_type: how they keep keys and values.
        touch_kv_cache: take their memory now and not when it is first used.
    """

    def __init__(
        self,
        model: _core.Model,
        num_blocks: int,
        *,
        kv_type: KvType = "bf16",
        touch_kv_cache: bool = False,
    ) -> None:
        self._model = model
        self._cache = _core.KVCache(model, num_blocks, kind=kv_type, touch=touch_kv_cache)

    @property
    def num_blocks(self) -> int:
        """Blocks of the KV cache."""
        return self._cache.num_blocks

    @property
    def model(self) -> _core.Model:
        """The model, for tests and measurements."""
        return self._model

    def run(self, batch: Batch) -> StepResult:
        """Compute a batch and draw or score one token for each of its outputs."""
        self._model.forward(
            self._cache,
            batch.token_ids,
            batch.chunk_starts,
            batch.positions,
            batch.block_tables,
            batch.outputs,
        )
        hidden = self._model.hidden(batch.pooled) if batch.pooled.size else None
        if not batch.outputs.size:
            return StepResult((), hidden=hidden)
        sampling = batch.sampling
        samples = self._model.sample(
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            min_p=sampling.min_p,
            seed=sampling.seed,
            choice=sampling.choice,
            position=sampling.position,
            repetition_penalty=sampling.repetition_penalty,
            seen_starts=sampling.seen_starts,
            seen_tokens=sampling.seen_tokens,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            count_starts=sampling.count_starts,
            count_tokens=sampling.count_tokens,
            counts=sampling.counts,
            bias_starts=sampling.bias_starts,
            bias_tokens=sampling.bias_tokens,
            biases=sampling.biases,
            mask_rows=sampling.mask_rows,
            masks=sampling.masks,
            targets=sampling.targets,
            num_logprobs=sampling.num_logprobs,
        )
        return StepResult(
            samples.tokens.tolist(),
            samples.token_logprobs,
            samples.top_tokens,
            samples.top_logprobs,
            hidden,
        )

    def logits(
        self, prompts: Sequence[Sequence[int]], *, piece: int | None = None
    ) -> npt.NDArray[np.float32]:
        """Compute the logits after every token of some prompts: float32 [all tokens, vocab].

        Writes to the cache from its first block on, so it is not for a runner that serves.

        Args:
            prompts: share batches; their rows come one prompt after the other.
            piece: compute at most so many tokens of each at a time; None: all.
        """
        widths = [-(-len(prompt) // BLOCK_SIZE) for prompt in prompts]
        tables = np.zeros((len(prompts), max(widths)), np.int32)
        for row, width, end in zip(tables, widths, np.cumsum(widths), strict=True):
            row[:width] = np.arange(end - width, end)
        rows: list[list[npt.NDArray[np.float32]]] = [[] for _ in prompts]
        longest = max(map(len, prompts))
        for start in range(0, longest, piece or longest):
            live = [i for i, prompt in enumerate(prompts) if len(prompt) > start]
            parts = [prompts[i][start : start + (piece or longest)] for i in live]
            starts = np.cumsum([0, *map(len, parts)], dtype=np.int32)
            self._model.forward(
                self._cache,
                np.array([token for part in parts for token in part], np.int32),
                starts,
                np.full(len(live), start, np.int32),
                np.ascontiguousarray(tables[live]),
                np.arange(starts[-1], dtype=np.int32),
            )
            computed = np.split(self._model.logits(), starts[1:-1])
            for index, part in zip(live, computed, strict=True):
                rows[index].append(part)
        return np.concatenate([part for prompt in rows for part in prompt])

    def head_stats(self) -> dict[str, int]:
        """How tokens were drawn since the model was built."""
        return self._model.head_stats()

    def close(self) -> None:
        """Join the model's threads."""
        self._model.close()
