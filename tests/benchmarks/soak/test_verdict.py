"""What must be called wrong is, each by its own criterion and by no other."""

from dataclasses import replace

import pytest
from benchmarks.soak.sample import lag_below
from benchmarks.soak.verdict import Run, judge, told_lines

from tests.benchmarks.soak.runs import BOUNDS, at_rest, sample, sound_run


def wrong(run: Run) -> list[str]:
    return [one.name for one in judge(run) if not one.is_sound]


def words_of(run: Run, name: str) -> str:
    return next(one.words for one in judge(run) if one.name == name)


def test_a_sound_run_passes() -> None:
    run = sound_run()
    assert wrong(run) == []
    assert list(told_lines(judge(run)))[-1] == "passed"


@pytest.mark.parametrize("leak_a_minute", [0.3e6, 1e6, 20e6])
def test_a_leak_is_wrong(leak_a_minute: float) -> None:
    assert wrong(sound_run(leak_a_minute=leak_a_minute)) == ["memory"]


@pytest.mark.parametrize(("seconds", "leak_a_minute"), [(600, 3e6), (900, 1.5e6), (1200, 1e6)])
def test_a_leak_is_seen_within_minutes(seconds: int, leak_a_minute: float) -> None:
    assert wrong(sound_run(seconds, leak_a_minute)) == ["memory"]
    assert wrong(sound_run(seconds)) == []


def test_memory_that_fills_in_the_warm_up_and_stays_is_no_leak() -> None:
    run = sound_run()
    run.samples = [
        replace(one, rss=one.rss - int(max(0.0, 800 - one.at) * 1e5)) for one in run.samples
    ]
    assert wrong(run) == []


def test_one_step_up_is_no_leak() -> None:
    run = sound_run()
    run.samples = [replace(one, rss=one.rss + 1_000_000 * (one.at > 1300)) for one in run.samples]
    assert wrong(run) == []


def test_a_short_run_says_that_it_tells_nothing_of_trends() -> None:
    run = sound_run(60, leak_a_minute=1e6)
    assert "too short a run" in words_of(run, "memory")


@pytest.mark.parametrize(
    ("criterion", "changes"),
    [
        ("KV cache", {"blocks": 1}),
        ("KV cache", {"running": 1}),
        ("KV cache", {"in_flight": 2}),
        ("files, threads", {"descriptors": 21}),
        ("files, threads", {"threads": 8 + 30}),
        ("answers", {"told": {200: 9, 500: 1}}),
    ],
)
def test_what_is_left_at_rest_is_wrong(criterion: str, changes: dict[str, object]) -> None:
    run = sound_run()
    assert run.after is not None
    run.after = replace(run.after, **changes)
    assert wrong(run) == [criterion]


def test_threads_that_still_come_in_the_end_are_wrong() -> None:
    run = sound_run()
    run.samples = [replace(one, threads=8 + (one.at > 300)) for one in run.samples]
    assert wrong(run) == []
    run.samples = [replace(one, threads=8 + int(one.at / 600)) for one in run.samples]
    assert wrong(run) == ["files, threads"]


def test_a_503_while_the_server_loads_is_right() -> None:
    run = sound_run()
    run.before = at_rest(0, told={503: 9})
    run.after = at_rest(1800, told={200: 5, 503: 9})
    assert wrong(run) == []


def test_a_loop_that_is_often_late_is_wrong_unless_the_host_is_as_late() -> None:
    run = sound_run()
    lags = {bound: 0.97 if bound < 1 else 1.0 for bound in BOUNDS}
    run.samples = [
        replace(one, lags={bound: share * 4 * one.at for bound, share in lags.items()})
        for one in run.samples
    ]
    assert wrong(run) == ["event loop"]
    run.samples = [
        replace(one, own_lag=0.6 if number % 20 == 0 else 0)
        for number, one in enumerate(run.samples)
    ]
    assert wrong(run) == []


def test_an_engine_that_stands_still_though_there_is_work_is_wrong() -> None:
    run = sound_run()
    run.samples = [
        replace(one, steps=50 * (900 if 900 < one.at < 940 else one.at)) for one in run.samples
    ]
    assert wrong(run) == ["engine"]
    run.samples = [replace(one, running=0, waiting=0) for one in run.samples]
    assert wrong(run) == []


def test_a_changed_answer_is_wrong() -> None:
    run = sound_run()
    run.seeded.compare("chat", '["x"]')
    assert wrong(run) == ["seeded answers"]


def test_seeded_requests_that_were_never_repeated_prove_nothing() -> None:
    run = sound_run()
    run.tally.seeded = 2
    assert wrong(run) == ["seeded answers"]


def test_a_problem_of_a_client_is_wrong_and_told() -> None:
    run = sound_run()
    run.tally.problem("chat: 500 b'' to /v1/chat/completions")
    assert wrong(run) == ["answers"]
    assert "1 × chat: 500" in words_of(run, "answers")


def test_an_error_in_a_log_is_wrong_and_told() -> None:
    run = sound_run()
    run.complaints = ["Traceback (most recent call last):"]
    assert wrong(run) == ["logs"]
    assert "Traceback" in words_of(run, "logs")


def test_a_server_that_works_on_at_rest_is_wrong() -> None:
    run = sound_run()
    run.idle_cpu = 0.9
    assert wrong(run) == ["rest"]


def test_a_store_that_outgrows_its_bound_is_wrong() -> None:
    run = sound_run()
    run.samples.append(sample(1800, store=10**9))
    assert wrong(run) == ["store"]


def test_restarts_after_which_nothing_was_found_are_wrong() -> None:
    run = sound_run()
    run.found = 0
    assert wrong(run) == ["restarts"]


@pytest.mark.parametrize("status", [1, -9, None])
def test_a_server_that_did_not_end_well_is_wrong(status: int | None) -> None:
    run = sound_run()
    run.status = status
    assert wrong(run) == ["end"]


def test_a_run_that_saw_nothing_passes_in_nothing_that_matters() -> None:
    expected = {"KV cache", "files, threads", "event loop", "seeded answers", "end"}
    assert expected <= set(wrong(Run()))


def test_a_lateness_lies_within_its_bucket_in_proportion() -> None:
    before = sample(0.0)
    after = sample(1.0, lags={0.01: 10.0, 0.1: 90.0, 0.25: 100.0, float("inf"): 100.0})

    assert lag_below(before, after, 0.5) == pytest.approx(0.01 + 0.09 * 40 / 80)
    assert lag_below(before, after, 0.95) == pytest.approx(0.1 + 0.15 / 2)
    assert lag_below(before, before, 0.99) == 0
