import pytest

from tercet_engine import EngineConfig, InvalidConfig, OutOfMemory
from tercet_engine.memory_plan import plan_memory, workspace_bytes
from tercet_engine.synthetic import SHAPES

SHAPE = SHAPES["2b4t"]
BLOCK_BYTES = 16 * 76_800  # 30 layers x (keys + values) x 5 heads x 128 x 2 bytes, per token
WEIGHT_BYTES = 521_011_200 + 329_361_408  # 2 bits a ternary weight, and an int8 head
GB = 10**9


def plan(config: EngineConfig, usable_bytes: int = 16 * GB):
    return plan_memory(
        SHAPE,
        config,
        weight_bytes=WEIGHT_BYTES,
        block_bytes=BLOCK_BYTES,
        usable_bytes=usable_bytes,
    )


def test_the_context_is_the_models_own_unless_told_otherwise() -> None:
    assert plan(EngineConfig()).max_context == 4096
    assert plan(EngineConfig(max_context=1000)).max_context == 1000


def test_a_kv_cache_of_a_given_size_is_taken_as_it_is() -> None:
    assert plan(EngineConfig(kv_cache_bytes=256 * BLOCK_BYTES + 5)).num_blocks == 256


def test_the_kv_cache_takes_a_share_of_what_is_free() -> None:
    config = EngineConfig()
    usable = 8 * GB
    free = usable - WEIGHT_BYTES - workspace_bytes(SHAPE, config, 4096)

    kv_cache_bytes = plan(config, usable_bytes=usable).kv_cache_bytes

    assert kv_cache_bytes == pytest.approx(free / 4, rel=0.02)


def test_the_kv_cache_takes_no_more_than_eight_contexts_unasked() -> None:
    assert plan(EngineConfig(), usable_bytes=64 * GB).num_blocks == 8 * 4096 // 16


def test_the_kv_cache_holds_at_least_one_context_where_memory_is_short() -> None:
    assert plan(EngineConfig(), usable_bytes=int(1.5 * GB)).num_blocks == 4096 // 16


def test_the_kv_cache_holds_no_more_than_all_sequences_could_use() -> None:
    config = EngineConfig(max_sequences=2, max_context=160)

    assert plan(config).num_blocks == 2 * 10


def test_a_model_that_does_not_fit_is_refused_with_the_sum_and_the_context_that_fits() -> None:
    with pytest.raises(OutOfMemory) as caught:
        plan(EngineConfig(), usable_bytes=int(1.2 * GB))
    message = str(caught.value)

    assert "exceed the 1,200 MB" in message
    fitting = int(message.split("largest context that fits is ")[1].split(maxsplit=1)[0])
    assert fitting % 16 == 0
    assert plan(EngineConfig(max_context=fitting), usable_bytes=int(1.2 * GB)).num_blocks > 0
    with pytest.raises(OutOfMemory):
        plan(EngineConfig(max_context=fitting + 16), usable_bytes=int(1.2 * GB))


def test_a_kv_cache_that_does_not_fit_is_refused_with_the_size_that_does() -> None:
    with pytest.raises(OutOfMemory, match="lower kv_cache_bytes to") as caught:
        plan(EngineConfig(kv_cache_bytes=1 << 40))

    fitting = int(str(caught.value).split("lower kv_cache_bytes to ")[1].split(maxsplit=1)[0])
    assert plan(EngineConfig(kv_cache_bytes=fitting)).kv_cache_bytes == fitting


def test_a_model_whose_weights_alone_do_not_fit_is_refused() -> None:
    with pytest.raises(OutOfMemory, match="not even a short context fits"):
        plan(EngineConfig(), usable_bytes=GB // 2)


def test_a_context_longer_than_the_models_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"max_context is 5000.* at most 4096"):
        plan(EngineConfig(max_context=5000))


def test_a_kv_cache_too_small_for_one_sequence_is_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"holds 160 tokens.* 4096 tokens, needs"):
        plan(EngineConfig(kv_cache_bytes=10 * BLOCK_BYTES))
