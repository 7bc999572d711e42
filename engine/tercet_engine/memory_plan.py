"""Will it fit? Answered before anything large is allocated.

weights    packed, as the kernels count them; before the packing is chosen, of the largest one
workspace  activations of one batch and the logits of 32 tokens, in float32
KV cache   blocks x 16 tokens x layers x (keys + values), 2 or 4 bytes each, or for int8 1 byte
           each and 4 per token and head

The embedding table stays a map of the file: the few rows which are touched are not counted.
"""

from dataclasses import dataclass
from typing import Final

from tercet_engine.config import EngineConfig
from tercet_engine.errors import InvalidConfig, OutOfMemory
from tercet_engine.model_shape import ModelShape
from tercet_engine.resources import usable_cpus

SHARE_OF_FREE: Final = 4
"""Unless told otherwise the KV cache takes one part in so many of what the model leaves free,"""
_DEFAULT_CONTEXTS: Final = 8
"""and no more than so many full contexts: few conversations fill theirs."""
_LOGIT_ROWS: Final = 32
"""Rows of logits computed together."""
_QUERIES_OF_A_PASS: Final = 8
"""Positions whose attention is computed in one pass over the keys; fixed by the kernels."""
RESERVE_BYTES: Final = 64 << 20
"""For Python, the tokenizer and the server."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Sizes that were found to fit."""

    max_context: int
    num_blocks: int
    weight_bytes: int
    workspace_bytes: int
    kv_cache_bytes: int


def plan_memory(
    shape: ModelShape,
    config: EngineConfig,
    *,
    weight_bytes: int,
    block_bytes: int,
    usable_bytes: int,
) -> MemoryPlan:
    """Divide the memory that may be used.

    Args:
        shape: the model's sizes.
        config: the engine's bounds.
        weight_bytes: of the packed weights, at most.
        block_bytes: of one block of the KV cache.
        usable_bytes: what the machine and the container have left.

    Raises:
        OutOfMemory: the model and a KV cache for one sequence of the full context do not fit.
        InvalidConfig: the context is longer than the model's, or than the KV cache asked for.
    """
    max_context = _max_context(shape, config)
    min_blocks = -(-max_context // config.block_size)
    workspace = workspace_bytes(shape, config, max_context)
    free = usable_bytes - weight_bytes - workspace - RESERVE_BYTES
    if config.kv_cache_bytes is None:
        max_blocks = min(config.max_sequences, _DEFAULT_CONTEXTS) * min_blocks
        num_blocks = max(min_blocks, min(max_blocks, free // SHARE_OF_FREE // block_bytes))
    else:
        num_blocks = config.kv_cache_bytes // block_bytes
    if num_blocks < min_blocks:
        message = (
            f"a KV cache of {config.kv_cache_bytes} bytes holds {num_blocks * config.block_size} "
            f"tokens; one sequence of the context, {max_context} tokens, needs "
            f"{min_blocks * block_bytes} bytes. Enlarge kv_cache_bytes or lower max_context"
        )
        raise InvalidConfig(message)
    if num_blocks * block_bytes > free:
        if free >= min_blocks * block_bytes:
            advice = f"lower kv_cache_bytes to {free // block_bytes * block_bytes} or less"
        elif fitting := _fitting_context(shape, config, block_bytes, usable_bytes - weight_bytes):
            advice = f"the largest context that fits is {fitting} tokens: lower max_context to it"
        else:
            advice = "not even a short context fits: choose a smaller model or a larger machine"
        message = (
            f"{sum_in_words(weight_bytes, num_blocks * block_bytes, workspace)} exceed the "
            f"{in_mb(usable_bytes)} of memory that this process may use; {advice}"
        )
        raise OutOfMemory(message)
    return MemoryPlan(max_context, num_blocks, weight_bytes, workspace, num_blocks * block_bytes)


def workspace_bytes(shape: ModelShape, config: EngineConfig, max_context: int) -> int:
    """Bytes of the buffers of one forward pass and of the tables of angles, at most."""
    attention = shape.num_heads * shape.head_dim
    widths = 4 * shape.hidden_size + 6 * attention + 3 * shape.intermediate_size
    group = shape.num_heads // shape.num_kv_heads
    threads = config.num_threads or usable_cpus()
    score_rows = max(threads, shape.num_kv_heads) * _QUERIES_OF_A_PASS * group
    values = (
        config.max_batch_tokens * widths
        + min(_LOGIT_ROWS, config.max_batch_tokens) * shape.vocab_size
        + _LOGIT_ROWS * (shape.hidden_size + shape.vocab_size + 8192)
        + threads * 16384
        + max_context * (shape.head_dim + score_rows)
    )
    return 4 * values


def _fitting_context(
    shape: ModelShape, config: EngineConfig, block_bytes: int, free_bytes: int
) -> int:
    """Tokens of the longest context for which a KV cache and its tables fit; 0 if none does."""
    fixed = workspace_bytes(shape, config, 0)
    per_block = block_bytes + workspace_bytes(shape, config, config.block_size) - fixed
    return max(0, (free_bytes - fixed - RESERVE_BYTES) // per_block) * config.block_size


def _max_context(shape: ModelShape, config: EngineConfig) -> int:
    if config.max_context is None:
        return shape.max_context
    if config.max_context > shape.max_context:
        message = (
            f"max_context is {config.max_context}; this model was made for at most "
            f"{shape.max_context} tokens"
        )
        raise InvalidConfig(message)
    return config.max_context


def sum_in_words(weight_bytes: int, kv_cache_bytes: int, workspace: int) -> str:
    """The parts of a plan, one behind the other."""
    return (
        f"weights {in_mb(weight_bytes)} + KV cache {in_mb(kv_cache_bytes)} + workspace "
        f"{in_mb(workspace)} + reserve {in_mb(RESERVE_BYTES)}"
    )


def in_mb(num_bytes: int) -> str:
    """Bytes as messages tell them, "1,200 MB"."""
    return f"{num_bytes / 1e6:,.0f} MB"
