"""Several models in one process fit together, or are refused together."""

from dataclasses import replace

import pytest

from tercet_engine import EngineConfig, InvalidConfig, OutOfMemory
from tercet_engine.memory_plan import RESERVE_BYTES, workspace_bytes
from tercet_engine.memory_sharing import MemoryNeeds, share_memory
from tercet_engine.synthetic import SHAPES

GB = 10**9
BLOCK_BYTES = 16 * 76_800
WEIGHT_BYTES = 850_000_000
LARGE = MemoryNeeds(SHAPES["2b4t"], WEIGHT_BYTES, BLOCK_BYTES)
SMALL = MemoryNeeds(replace(SHAPES["2b4t"], max_context=1024), WEIGHT_BYTES // 2, BLOCK_BYTES)
BOTH = [("large", LARGE), ("small", SMALL)]


def kv_sizes(config: EngineConfig, usable_bytes: int = 16 * GB) -> list[int | None]:
    return [own.kv_cache_bytes for own in share_memory(BOTH, config, usable_bytes)]


def sum_without_kv(config: EngineConfig) -> int:
    workspaces = [
        workspace_bytes(SHAPES["2b4t"], config, config.max_context or length)
        for length in (4096, 1024)
    ]
    return WEIGHT_BYTES + WEIGHT_BYTES // 2 + sum(workspaces) + 2 * RESERVE_BYTES


def test_the_share_of_what_all_leave_free_is_divided_evenly() -> None:
    config = EngineConfig(max_context=1024)
    free = 5 * GB - sum_without_kv(config)

    assert kv_sizes(config, 5 * GB) == [free // 8 // BLOCK_BYTES * BLOCK_BYTES] * 2


def test_nobody_takes_more_than_eight_contexts_of_its_own_length_unasked() -> None:
    assert kv_sizes(EngineConfig(), 64 * GB) == [
        8 * 4096 // 16 * BLOCK_BYTES,
        8 * 1024 // 16 * BLOCK_BYTES,
    ]


def test_where_memory_is_short_each_holds_one_sequence_of_its_context() -> None:
    config = EngineConfig()
    least = [4096 // 16 * BLOCK_BYTES, 1024 // 16 * BLOCK_BYTES]
    just_enough = sum_without_kv(config) + sum(least)

    assert kv_sizes(config, just_enough) == least
    with pytest.raises(OutOfMemory):
        kv_sizes(config, just_enough - 1)


def test_a_kv_cache_of_a_given_size_is_taken_by_each() -> None:
    assert kv_sizes(EngineConfig(kv_cache_bytes=400 * BLOCK_BYTES)) == [400 * BLOCK_BYTES] * 2


def test_other_bounds_are_the_same_for_all() -> None:
    config = EngineConfig(max_sequences=3, max_context=160)
    own = share_memory(BOTH, config, 16 * GB)

    assert [replace(one, kv_cache_bytes=None) for one in own] == [config, config]


def test_the_refusal_names_each_models_part_and_the_context_that_fits() -> None:
    usable = int(1.75 * GB)
    with pytest.raises(OutOfMemory) as caught:
        kv_sizes(EngineConfig(max_context=1024), usable)
    message = str(caught.value)

    assert "large: weights 850 MB + KV cache 79 MB + workspace" in message
    assert "small: weights 425 MB + KV cache 79 MB + workspace" in message
    assert "exceed the 1,750 MB of memory that this process may use" in message
    fitting = int(message.split("lower max_context to ")[1].split(maxsplit=1)[0])
    assert kv_sizes(EngineConfig(max_context=fitting), usable)
    with pytest.raises(OutOfMemory):
        kv_sizes(EngineConfig(max_context=fitting + 16), usable)


def test_weights_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(OutOfMemory, match="not even short contexts fit: serve fewer or smaller"):
        kv_sizes(EngineConfig(), int(1.3 * GB))


def test_kv_caches_that_do_not_fit_together_are_refused_with_the_size_that_does() -> None:
    with pytest.raises(OutOfMemory, match="lower kv_cache_bytes") as caught:
        kv_sizes(EngineConfig(kv_cache_bytes=8 * GB))

    fitting = int(str(caught.value).split("takes, to ")[1].split(maxsplit=1)[0])
    assert sum(size or 0 for size in kv_sizes(EngineConfig(kv_cache_bytes=fitting))) <= 2 * fitting
    with pytest.raises(OutOfMemory):
        kv_sizes(EngineConfig(kv_cache_bytes=fitting + 2 * BLOCK_BYTES))


def test_even_caches_too_large_for_one_may_be_shared_unevenly() -> None:
    config = EngineConfig(kv_cache_bytes=4096 // 16 * BLOCK_BYTES)
    usable = sum_without_kv(EngineConfig()) + (4096 + 1024) // 16 * BLOCK_BYTES

    with pytest.raises(OutOfMemory, match="leave kv_cache_bytes out"):
        kv_sizes(config, usable)
    assert kv_sizes(EngineConfig(), usable)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (EngineConfig(max_context=2048), "small: max_context is 2048; this model was made for"),
        (EngineConfig(kv_cache_bytes=64 * BLOCK_BYTES), "large: a KV cache of"),
    ],
)
def test_what_one_of_them_cannot_do_names_it(config: EngineConfig, words: str) -> None:
    with pytest.raises(InvalidConfig, match=words):
        kv_sizes(config)
