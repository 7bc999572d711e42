import pytest

from tercet_engine import EngineConfig, InvalidConfig


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("max_context", 1, "max_context must be from 2 to 1048576; got 1"),
        ("max_batch_tokens", 0, "max_batch_tokens must be from 1"),
        ("max_sequences", 0, "max_sequences must be from 1"),
        ("max_waiting_requests", -1, "max_waiting_requests must be from 0"),
        ("max_waiting_tokens", -1, "max_waiting_tokens must be from 0"),
        ("kv_cache_bytes", 0, "kv_cache_bytes must be from 1"),
        ("num_threads", 0, "num_threads must be from 1 to 1024; got 0"),
        ("max_step_ms", -1, "max_step_ms must be from 0 to 600000; got -1"),
        ("speculation", "on", "speculation must be auto or off; got on"),
        ("head", "fp4", "head must be int8 or bf16; got fp4"),
        ("kv_type", "int4", "kv_type must be bf16, f32 or int8; got int4"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_limit(
    setting: str, value: object, message: str
) -> None:
    with pytest.raises(InvalidConfig, match=message):
        EngineConfig(**{setting: value})


def test_every_stream_must_be_able_to_advance_in_every_step() -> None:
    with pytest.raises(InvalidConfig, match=r"at most max_batch_tokens, 16.* got 17"):
        EngineConfig(max_batch_tokens=16, max_sequences=17)


@pytest.mark.parametrize(
    ("settings", "num_outputs"),
    [
        ({"max_sequences": 64}, 64),
        ({"max_sequences": 4}, 16),  # one sequence and the longest guess
        ({"max_sequences": 4, "speculation": "off"}, 4),
        ({"max_sequences": 4, "max_batch_tokens": 8}, 8),
    ],
)
def test_a_step_has_outputs_for_its_sequences_or_for_guesses(
    settings: dict[str, object], num_outputs: int
) -> None:
    assert EngineConfig(**settings).max_batch_outputs == num_outputs
