"""What is measured, in which order, and what is made of it, over a runner of known speed."""

import pytest

from tercet_engine import EngineConfig
from tercet_engine.batch import Batch
from tercet_engine.step_result import StepResult
from tercet_server.cli.failure import UsageError
from tercet_server.cli.measure import Figures, Samples, Workload, measure
from tercet_server.cli.subject import Subject
from tests.conftest import FakeClock


class TimedRunner:
    """Takes 10 ms for a batch and 1 ms more for each of its tokens; remembers what it computed."""

    num_blocks = 64

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.events: list[str | int] = []
        self.blocks: set[int] = set()

    def run(self, batch: Batch) -> StepResult:
        self._clock.pass_by(0.010 + 0.001 * len(batch.token_ids))
        self.events.append(len(batch.token_ids))
        self.blocks |= set(batch.block_tables.flat)
        return StepResult([7] * len(batch.outputs))

    def head_stats(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        pass


def subject_of(runner: TimedRunner, max_sequences: int = 1) -> Subject:
    return Subject(
        name="timed",
        runner=runner,
        config=EngineConfig(
            max_context=1024,
            max_sequences=max_sequences,
            max_batch_tokens=64,
            prefix_cache=False,
            max_step_ms=0,
            speculation="off",
        ),
        vocab_size=100,
        max_context=1024,
        num_ternary_weights=1000,
        weight_bytes=300,
        decode_bytes=250,
        kv_bytes_per_token=2,
        kernels="none",
        packing="none",
        num_threads=1,
        load_seconds=0.0,
    )


def test_a_prompt_and_its_decoding_are_timed_apart(clock: FakeClock) -> None:
    runner = TimedRunner(clock)

    figures = measure(subject_of(runner), Workload(100, 8, repeat=2), lambda: 5000.0, clock=clock)

    # 100 tokens in batches of 64 and 36: two batches of 10 ms, and 1 ms per token.
    assert figures.ttft_seconds == pytest.approx(0.120)
    assert figures.prefill_tokens_per_second == pytest.approx(100 / 0.120)
    assert figures.decode_tokens_per_second == pytest.approx(1 / 0.011)
    # 250 bytes of weights, and 2 for each of the 100 + (1 + 8) / 2 tokens in the cache.
    assert figures.bytes_per_token == 250 + 209
    assert figures.decode_limit_tokens_per_second == pytest.approx(5000 / 459)
    assert figures.decode_share_of_limit == pytest.approx((1 / 0.011) / (5000 / 459))


def test_the_bandwidth_is_measured_between_segments_of_decoding(clock: FakeClock) -> None:
    runner = TimedRunner(clock)

    def bandwidth() -> float:
        runner.events.append("bandwidth")
        return 1.0

    measure(subject_of(runner), Workload(20, 8, repeat=1), bandwidth, clock=clock)

    warm_up, prompt, *rest = runner.events
    assert (warm_up, prompt) == (16, 20)
    assert rest == ["bandwidth", 1, 1] * 4


def test_the_time_of_a_bandwidth_measurement_is_no_part_of_decoding(clock: FakeClock) -> None:
    runner = TimedRunner(clock)

    def slow_bandwidth() -> float:
        clock.pass_by(100)
        return 1.0

    figures = measure(subject_of(runner), Workload(20, 8), slow_bandwidth, clock=clock)

    assert figures.decode_tokens_per_second == pytest.approx(1 / 0.011)


def test_a_slow_round_does_not_move_the_median(clock: FakeClock) -> None:
    runner = TimedRunner(clock)
    readings = iter([1.0] * 4 + [9.0] * 4 + [1.0] * 4)

    def note(what: str) -> None:
        clock.pass_by(1000)

    figures = measure(
        subject_of(runner), Workload(20, 8, repeat=3), lambda: next(readings), clock=clock,
        on_round=note,
    )  # fmt: skip

    assert figures.memory_bandwidth_bytes_per_second == 1.0
    assert figures.ttft_seconds == pytest.approx(0.030)
    assert len(figures.samples.ttft_seconds) == 3
    assert len(figures.samples.decode_tokens_per_second) == 12


def test_every_round_uses_the_same_blocks(clock: FakeClock) -> None:
    runner = TimedRunner(clock)

    measure(subject_of(runner), Workload(20, 8, repeat=3), lambda: 1.0, clock=clock)

    assert runner.blocks == {0, 1}  # 29 tokens


def test_streams_are_decoded_together(clock: FakeClock) -> None:
    runner = TimedRunner(clock)
    workload = Workload(16, 8, repeat=1, streams=(4,))

    figures = measure(subject_of(runner, max_sequences=4), workload, lambda: 1.0, clock=clock)

    (four,) = figures.streams
    assert (four.streams, four.prompt_tokens) == (4, 16)
    assert four.tokens_per_second == pytest.approx(4 / 0.014)  # one batch of four tokens
    assert runner.events[-8:] == [4] * 8


def test_one_generated_token_is_enough(clock: FakeClock) -> None:
    figures = measure(
        subject_of(TimedRunner(clock)), Workload(1, 1, repeat=1), lambda: 1.0, clock=clock
    )

    assert figures.samples.decode_tokens_per_second == pytest.approx([1 / 0.011])


def test_a_workload_that_does_not_fit_the_context_is_refused_with_the_sum() -> None:
    Workload(100, 27).check(128)
    with pytest.raises(UsageError, match="need a context of 129; it is 128"):
        Workload(100, 28).check(128)


@pytest.mark.parametrize(
    ("workload", "num_touched"),
    [
        (Workload(100, 8), 108),
        (Workload(100, 8, streams=(1, 4)), 4 * (64 + 8)),  # streams' prompts are short
        (Workload(16, 8, streams=(4,)), 4 * (16 + 8)),
    ],
)
def test_the_touched_tokens_are_those_of_the_largest_run(
    workload: Workload, num_touched: int
) -> None:
    assert workload.num_touched_tokens == num_touched


def test_the_share_follows_from_the_other_figures() -> None:
    figures = Figures(
        ttft_seconds=1,
        prefill_tokens_per_second=1,
        decode_tokens_per_second=14,
        memory_bandwidth_bytes_per_second=20e9,
        bytes_per_token=1_000_000_000,
        streams=(),
        samples=Samples(),
    )

    assert figures.decode_limit_tokens_per_second == 20
    assert figures.decode_share_of_limit == pytest.approx(0.7)
