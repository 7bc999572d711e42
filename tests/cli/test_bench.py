"""`tercet bench` on the embedded model: a real measurement, if a short one."""

import json
from collections.abc import Callable

import pytest

from tercet_server.cli.bandwidth import BandwidthMeter, buffer_bytes
from tercet_server.cli.failure import CommandError
from tests.cli.conftest import Outcome, run_process

Tercet = Callable[..., Outcome]

SHORT = ("--prompt-tokens", "32", "--generate-tokens", "1", "--repeat", "1", "--threads", "1")
KEYS = {
    "model",
    "decode_tokens_per_second",
    "prefill_tokens_per_second",
    "ttft_seconds",
    "memory_bandwidth_bytes_per_second",
    "bytes_per_token",
    "decode_share_of_limit",
    "peak_memory_bytes",
    "full_context_memory_bytes",
    "kv_type",
    "load_seconds",
    "kernels",
    "packing",
    "threads",
    "prompt_tokens",
    "context",
    "version",
    "cpu",
}


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return run_process("bench", "--json", *SHORT, "--streams", "2")


def test_json_holds_every_figure_and_stdout_nothing_else(outcome: Outcome) -> None:
    assert outcome.exit_code == 0
    assert outcome.err == ""
    figures = json.loads(outcome.out)
    assert figures.keys() >= KEYS
    assert figures["model"] == "tercet-tiny"
    assert (figures["threads"], figures["prompt_tokens"], figures["context"]) == (1, 32, 2048)
    assert [entry["streams"] for entry in figures["streams"]] == [2]


def test_the_figures_agree_with_each_other(outcome: Outcome) -> None:
    figures = json.loads(outcome.out)

    limit = figures["memory_bandwidth_bytes_per_second"] / figures["bytes_per_token"]
    assert figures["decode_share_of_limit"] == pytest.approx(
        figures["decode_tokens_per_second"] / limit
    )
    kv_bytes = figures["kv_bytes_per_context_token"] * figures["measured_context"]
    assert figures["bytes_per_token"] == pytest.approx(
        figures["weight_bytes_per_token"] + kv_bytes, abs=1
    )
    assert figures["prefill_tokens_per_second"] * figures["ttft_seconds"] == pytest.approx(32)
    # Two streams of 32 prompt tokens and one generated: 66 of the context's 2048 tokens.
    untouched = figures["full_context_memory_bytes"] - figures["peak_memory_bytes"]
    assert untouched == (2048 - 66) * figures["kv_bytes_per_context_token"]


def test_the_buffer_of_the_bandwidth_measurement_is_no_part_of_the_peak(outcome: Outcome) -> None:
    figures = json.loads(outcome.out)

    assert figures["weight_bytes"] < figures["peak_memory_bytes"] < buffer_bytes(1 << 40)


def test_the_table_names_the_model_and_says_what_limits_it(tercet: Tercet) -> None:
    outcome = tercet("bench", *SHORT)

    assert outcome.exit_code == 0
    assert "tercet-tiny on " in outcome.out
    for row in ("prefill", "first token", "decode, 1 stream", "peak memory", "full context"):
        assert row in outcome.out
    assert "caches" in outcome.out
    assert "\x1b" not in outcome.out


def test_random_weights_of_a_named_shape_need_no_model(tercet: Tercet) -> None:
    outcome = tercet("bench", "--synthetic", "tiny", "--json", *SHORT)

    assert json.loads(outcome.out)["model"] == "synthetic tiny"


def test_the_kernels_and_threads_of_the_environment_are_used_and_flags_win(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERCET_KERNELS", "reference")
    monkeypatch.setenv("TERCET_THREADS", "7")

    figures = json.loads(tercet("bench", "--json", *SHORT).out)

    assert (figures["kernels"], figures["threads"]) == ("reference", 1)


def test_the_first_model_of_the_environment_is_measured(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERCET_MODEL", "max=tercet-tiny, other=./nowhere")
    assert json.loads(tercet("bench", "--json", *SHORT).out)["model"] == "tercet-tiny"

    monkeypatch.setenv("TERCET_MODEL", "other=./nowhere,max=tercet-tiny")
    assert "./nowhere is neither a folder" in tercet("bench", "--json", *SHORT).err


def test_exact_keys_and_values_take_twice_the_memory(tercet: Tercet, outcome: Outcome) -> None:
    half = json.loads(outcome.out)
    exact = json.loads(tercet("bench", "--json", "--kv-type", "f32", *SHORT).out)

    assert (half["kv_type"], exact["kv_type"]) == ("bf16", "f32")
    assert exact["kv_bytes_per_context_token"] == 2 * half["kv_bytes_per_context_token"]


def test_int8_keys_and_values_take_half_the_memory_and_a_scale_per_token_and_head(
    tercet: Tercet, outcome: Outcome
) -> None:
    half = json.loads(outcome.out)
    int8 = json.loads(tercet("bench", "--json", "--kv-type", "int8", *SHORT).out)
    head_dim = 64  # of the embedded model

    assert int8["kv_type"] == "int8"
    assert int8["kv_bytes_per_context_token"] * 2 * head_dim == (
        half["kv_bytes_per_context_token"] * (head_dim + 4)
    )


def test_a_head_of_random_weights_that_would_stay_in_the_caches_is_refused(tercet: Tercet) -> None:
    outcome = tercet("bench", "--synthetic", "tiny", "--head", "bf16", *SHORT)

    assert outcome.exit_code == 2
    assert outcome.err.startswith("tercet: --head bf16 cannot be measured with --synthetic")
    assert outcome.out == ""


def test_variables_choose_the_workload_and_a_model_wins_over_a_shape(
    tercet: Tercet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for flag, value in zip(SHORT[:-2:2], SHORT[1:-2:2], strict=True):
        monkeypatch.setenv(f"TERCET_BENCH_{flag[2:].replace('-', '_').upper()}", value)
    monkeypatch.setenv("TERCET_BENCH_SYNTHETIC", "tiny")
    monkeypatch.setenv("TERCET_BENCH_STREAMS", "2")
    monkeypatch.setenv("TERCET_BENCH_JSON", "1")
    monkeypatch.setenv("TERCET_THREADS", "1")

    of_shape = json.loads(tercet("bench").out)
    of_model = json.loads(tercet("bench", "tercet-tiny").out)

    assert (of_shape["model"], of_model["model"]) == ("synthetic tiny", "tercet-tiny")
    names = ("prompt_tokens", "generate_tokens", "repeat")
    assert [of_shape[name] for name in names] == [32, 1, 1]
    assert [entry["streams"] for entry in of_shape["streams"]] == [2]


@pytest.mark.parametrize(
    ("usable", "buffer"), [(1 << 40, 1 << 30), (1 << 30, 1 << 29), (1 << 20, 1 << 26)]
)
def test_the_buffer_takes_at_most_half_of_the_memory_left(usable: int, buffer: int) -> None:
    assert buffer_bytes(usable) == buffer


def test_a_meter_whose_child_has_ended_says_so() -> None:
    with BandwidthMeter(num_threads=1) as meter:
        meter._process.kill()
        meter._process.wait()
        with pytest.raises(CommandError, match="memory"):
            meter.measure()
