"""Several models in one process: what each needs, and whether they fit together.

Each engine has its own weights, workspace and KV cache for as long as the process runs, so all of
them are summed before the first is loaded. What a KV cache takes unasked is a share of what all of
them leave free, and the same for each.
"""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tercet_engine.config import EngineConfig
from tercet_engine.errors import InvalidConfig, OutOfMemory
from tercet_engine.memory_plan import (
    RESERVE_BYTES,
    SHARE_OF_FREE,
    MemoryPlan,
    in_mb,
    plan_memory,
    sum_in_words,
)
from tercet_engine.model_shape import ModelShape

_UNLIMITED: Final = 1 << 60


@dataclass(frozen=True, slots=True)
class MemoryNeeds:
    """What is known of a model before it is loaded.

    Attributes:
        shape: its sizes.
        weight_bytes: of the packed weights, at most.
        block_bytes: of one block of the KV cache.
    """

    shape: ModelShape
    weight_bytes: int
    block_bytes: int


@dataclass(frozen=True, slots=True)
class _Part:
    """One model's part of the sum: what is fixed, and the KV cache from the least to the most."""

    name: str
    plan: MemoryPlan
    block_bytes: int
    least_kv_bytes: int

    @property
    def fixed_bytes(self) -> int:
        return self.plan.weight_bytes + self.plan.workspace_bytes + RESERVE_BYTES

    def kv_bytes(self, share: int) -> int:
        """Of a KV cache that keeps to a share where that holds one sequence of the context."""
        whole_blocks = share // self.block_bytes * self.block_bytes
        return max(self.least_kv_bytes, min(self.plan.kv_cache_bytes, whole_blocks))

    def in_words(self, kv_bytes: int) -> str:
        words = sum_in_words(self.plan.weight_bytes, kv_bytes, self.plan.workspace_bytes)
        return f"{self.name}: {words}"


def share_memory(
    needs: Sequence[tuple[str, MemoryNeeds]], config: EngineConfig, usable_bytes: int
) -> list[EngineConfig]:
    """Divide the memory that may be used among several models.

    Args:
        needs: of each model, by the name that it is served under.
        config: the bounds of each engine.
        usable_bytes: what the machine and the container have left.

    Returns:
        The config of each engine, with the size of its KV cache.

    Raises:
        OutOfMemory: they do not fit together; the message names each model's part.
        InvalidConfig: the context is longer than what one of them was made for, or than the KV
            cache asked for.
    """
    parts = [_part(name, need, config) for name, need in needs]
    free = usable_bytes - sum(part.fixed_bytes for part in parts)
    is_given = config.kv_cache_bytes is not None
    share = _UNLIMITED if is_given else free // SHARE_OF_FREE // len(parts)
    sizes = [part.kv_bytes(share) for part in parts]
    if sum(sizes) > free:
        total = sum(part.fixed_bytes for part in parts) + sum(sizes)
        sums = "; ".join(
            part.in_words(kv_bytes) for part, kv_bytes in zip(parts, sizes, strict=True)
        )
        message = (
            f"{sums}; together {in_mb(total)} exceed the {in_mb(usable_bytes)} of memory that this "
            f"process may use; {_advice(needs, config, parts, usable_bytes)}"
        )
        raise OutOfMemory(message)
    return [replace(config, kv_cache_bytes=kv_bytes) for kv_bytes in sizes]


def _part(name: str, needs: MemoryNeeds, config: EngineConfig) -> _Part:
    def plan(own: EngineConfig) -> MemoryPlan:
        return plan_memory(
            needs.shape,
            own,
            weight_bytes=needs.weight_bytes,
            block_bytes=needs.block_bytes,
            usable_bytes=_UNLIMITED,
        )

    try:
        wanted = plan(config)
    except InvalidConfig as error:
        message = f"{name}: {error}"
        raise InvalidConfig(message) from None
    one_sequence = plan(replace(config, kv_cache_bytes=None, max_sequences=1))
    return _Part(name, wanted, needs.block_bytes, one_sequence.kv_cache_bytes)


def _advice(
    needs: Sequence[tuple[str, MemoryNeeds]],
    config: EngineConfig,
    parts: Sequence[_Part],
    usable_bytes: int,
) -> str:
    if _fit(parts, usable_bytes):
        even = (usable_bytes - sum(part.fixed_bytes for part in parts)) // len(parts)
        if even >= max(part.least_kv_bytes for part in parts):
            return f"lower kv_cache_bytes, which each of them takes, to {even} or less"
        return "leave kv_cache_bytes out, which each of them takes"

    def is_too_long(num_blocks: int) -> bool:
        shorter = replace(config, kv_cache_bytes=None, max_context=num_blocks * config.block_size)
        return not _fit([_part(name, need, shorter) for name, need in needs], usable_bytes)

    longest = min(part.plan.max_context for part in parts) // config.block_size
    lengths = range(1, longest + 1)
    num_fitting = bisect.bisect_left(lengths, True, key=is_too_long)  # noqa: FBT003 -- looked for
    if not num_fitting:
        return "not even short contexts fit: serve fewer or smaller models"
    fitting = num_fitting * config.block_size
    return f"lower max_context to {fitting} or less, or serve fewer models"


def _fit(parts: Sequence[_Part], usable_bytes: int) -> bool:
    """Whether they do with KV caches for one sequence each."""
    return sum(part.fixed_bytes + part.least_kv_bytes for part in parts) <= usable_bytes
