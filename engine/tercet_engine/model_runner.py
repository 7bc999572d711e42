"""The runner that is the real model: arrays to C++, tokens back."""

from tercet_engine import _core
from tercet_engine.batch import Batch
from tercet_engine.config import BLOCK_SIZE, KvType

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

    def run(self, batch: Batch) -> list[int]:
        """Compute a batch and draw one token for each of its outputs."""
        self._model.forward(
            self._cache,
            batch.token_ids,
            batch.chunk_starts,
            batch.positions,
            batch.block_tables,
            batch.outputs,
        )
        if not batch.outputs.size:
            return []
        sampling = batch.sampling
        tokens = self._model.sample(
            sampling.temperature,
            sampling.top_k,
            sampling.top_p,
            sampling.min_p,
            sampling.seed,
            sampling.choice,
            sampling.position,
            sampling.presence_penalty,
            sampling.frequency_penalty,
            sampling.count_starts,
            sampling.count_tokens,
            sampling.counts,
            sampling.bias_starts,
            sampling.bias_tokens,
            sampling.biases,
        )
        return [int(token) for token in tokens.tolist()]

    def close(self) -> None:
        """Join the model's threads."""
        self._model.close()
