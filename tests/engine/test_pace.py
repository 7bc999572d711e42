"""What a step costs, learnt from steps of a model whose costs are known."""

import random

import pytest

from tercet_engine.pace import MIN_CHUNK, Load, StepBudget, StepTimes


def load_of(num_tokens: int, position: int = 0, num_outputs: int = 0) -> Load:
    load = Load()
    load.add(num_tokens, position, num_outputs)
    return load


def seconds_of(load: Load) -> float:
    """20 ms to read the weights, 5 ms a token, 5 µs a key, 1 ms an output."""
    return 0.020 + 0.005 * load.num_tokens + 0.000_005 * load.num_keys + 0.001 * load.num_outputs


def random_load(rng: random.Random) -> Load:
    num_tokens = rng.choice([1, 2, 5, 16, 64, 200])
    return load_of(num_tokens, rng.choice([0, 100, 1000, 4000]), rng.choice([0, 1, num_tokens]))


def taught(num_steps: int = 600, noise: float = 0.0) -> StepTimes:
    rng, times = random.Random(0), StepTimes()
    for _ in range(num_steps):
        load = random_load(rng)
        slow = rng.choice([1, 20]) if rng.random() < noise else 1
        times.observe(load, slow * seconds_of(load))
    return times


def test_keys_are_counted_for_each_token_with_itself() -> None:
    assert load_of(3).num_keys == 1 + 2 + 3
    assert load_of(2, position=10).num_keys == 11 + 12


@pytest.mark.parametrize("load", [load_of(1, 0, 1), load_of(16, 4000, 16), load_of(200, 1000)])
def test_steps_of_all_kinds_are_predicted_after_some_hundred(load: Load) -> None:
    assert taught().seconds(load) == pytest.approx(seconds_of(load), rel=0.15)


def test_one_step_is_enough_for_others_like_it() -> None:
    times = StepTimes()
    assert not times.is_measured
    times.observe(load_of(64), 0.4)

    assert times.is_measured
    assert times.seconds(load_of(64)) == pytest.approx(0.4)


def test_interrupted_steps_do_not_spoil_the_prediction() -> None:
    times = taught(noise=0.02)  # one step in a hundred takes twenty times as long

    assert times.seconds(load_of(64)) == pytest.approx(seconds_of(load_of(64)), rel=0.4)


def test_a_host_that_becomes_slower_is_noticed() -> None:
    times = StepTimes()
    for _ in range(50):
        times.observe(load_of(8, 0, 8), 0.05)
    for _ in range(50):
        times.observe(load_of(8, 0, 8), 0.10)

    assert times.seconds(load_of(8, 0, 8)) == pytest.approx(0.10, rel=0.05)


def test_costs_stay_positive_whatever_is_measured() -> None:
    rng, times = random.Random(1), StepTimes()
    for _ in range(2000):
        times.observe(random_load(rng), rng.choice([0, 1e-6, 1, 1000]))

    assert times.seconds(Load()) > 0
    assert times.output_seconds(0) > 0
    assert times.chunk_seconds(1, 0) > 0


@pytest.mark.parametrize("position", [0, 1000, 4000])
def test_a_chunk_that_is_said_to_fit_takes_about_the_time_there_is(position: int) -> None:
    times = taught()
    num_tokens = times.num_tokens_in(0.5, position)

    assert times.chunk_seconds(num_tokens, position) == pytest.approx(0.5, rel=0.05)


def test_later_chunks_of_a_long_prompt_are_shorter() -> None:
    times = taught()

    assert times.num_tokens_in(0.2, 4000) < 0.5 * times.num_tokens_in(0.2, 0)


def test_without_a_limit_of_time_a_budget_is_its_tokens() -> None:
    budget = StepBudget(10, None, StepTimes())

    assert budget.take(7, 0) == 7
    assert budget.take(7, 0) == 3
    assert not budget.has_room


def test_prompts_share_the_time_of_one_step() -> None:
    times = taught()
    budget = StepBudget(512, 0.5, times)
    first = budget.take(40, 0)
    second = budget.take(400, 0)

    assert first == 40
    assert times.chunk_seconds(40, 0) + times.chunk_seconds(second, 0) == pytest.approx(
        0.5, rel=0.1
    )
    assert not budget.has_room


def test_without_any_time_left_prompts_get_the_least_chunk_between_them() -> None:
    budget = StepBudget(512, -0.1, taught())

    assert budget.take(MIN_CHUNK - 10, 0) == MIN_CHUNK - 10
    assert budget.take(400, 0) == 10
    assert not budget.has_room
