"""What clients wait for, in a simulation: a model of known speed, and a clock that it moves.

A step takes 20 ms, 5 ms a token and 2 µs a key: a prompt of 4,000 tokens takes 36 s by itself, and
a step of 512 of its tokens nearly three.
"""

import itertools
from dataclasses import dataclass, field

from tercet_engine.batch import Batch
from tercet_engine.config import EngineConfig
from tercet_engine.core import EngineCore
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence
from tercet_engine.step_result import StepResult


class TimedModel:
    num_blocks = 2048

    def __init__(self) -> None:
        self.now = 0.0
        self.num_drawn = 0

    def clock(self) -> float:
        return self.now

    def run(self, batch: Batch) -> StepResult:
        starts, positions = batch.chunk_starts.tolist(), batch.positions.tolist()
        lengths = [end - start for start, end in itertools.pairwise(starts)]
        keys = sum(n * (p + n / 2) for n, p in zip(lengths, positions, strict=True))
        self.now += 0.020 + 0.005 * len(batch.token_ids) + 2e-6 * keys
        self.num_drawn += len(batch.outputs)
        # Never the same, so that nothing can be guessed.
        return StepResult(range(self.num_drawn, self.num_drawn + len(batch.outputs)))

    def head_stats(self) -> dict[str, int]:
        return {}

    def close(self) -> None:
        pass


@dataclass
class Seen:
    """When the tokens of a sequence came, and when it was sent."""

    sent: float
    times: list[float] = field(default_factory=list)

    @property
    def wait(self) -> float:
        return self.times[0] - self.sent

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in itertools.pairwise(self.times)]


class Simulation:
    def __init__(self, **settings: object) -> None:
        self.model = TimedModel()
        self.core = EngineCore(self.model, EngineConfig(**settings), self.model.clock)
        self.seen: dict[int, Seen] = {}

    def send(self, num_prompt_tokens: int, max_tokens: int) -> Seen:
        number = len(self.seen)
        prompt = [1000 + number] * num_prompt_tokens
        self.core.add([Sequence(number, prompt, SamplingParams(), max_tokens)])
        self.seen[number] = Seen(self.model.now)
        return self.seen[number]

    def run_until(self, seconds: float) -> None:
        while self.core.has_work and self.model.now < seconds:
            for output in self.core.step():
                self.seen[output.sequence_id].times.append(self.model.now)


def test_streams_keep_their_pace_while_a_long_prompt_is_computed() -> None:
    simulation = Simulation(max_step_ms=200)
    streams = [simulation.send(16, max_tokens=200) for _ in range(4)]
    simulation.run_until(5)
    prompt = simulation.send(4000, max_tokens=1)
    simulation.run_until(999)

    gaps = sorted(gap for stream in streams for gap in stream.gaps)
    assert gaps[-1] < 0.4  # while the model learns what a prompt costs beside streams
    assert gaps[int(0.98 * len(gaps))] < 0.25
    assert prompt.wait < 1.5 * 36


def test_without_a_time_for_steps_streams_wait_for_whole_chunks() -> None:
    simulation = Simulation(max_step_ms=0)
    stream = simulation.send(16, max_tokens=200)
    simulation.run_until(5)
    simulation.send(4000, max_tokens=1)
    simulation.run_until(999)

    assert max(stream.gaps) > 2


def test_a_short_prompt_behind_a_long_one_is_answered_soon() -> None:
    simulation = Simulation()
    simulation.send(4000, max_tokens=1)
    simulation.run_until(1)
    short = simulation.send(32, max_tokens=20)
    simulation.run_until(999)

    assert short.wait < 4  # the step of the long prompt that was under way, and its own


def test_a_long_prompt_is_answered_although_short_ones_never_cease() -> None:
    simulation = Simulation()
    for _ in range(20):
        simulation.send(200, max_tokens=1)
    long = simulation.send(2000, max_tokens=1)
    while not long.times:  # a second's worth of prompts or more, each second
        simulation.send(200, max_tokens=1)
        simulation.run_until(simulation.model.now + 1)

    # What was there before it, itself, and at most as much again of what came later.
    work = 20 * 200 + 2 * 2000
    assert long.wait < 1.3 * (0.005 * work + 10)


def test_prompts_are_computed_however_many_streams_there_are() -> None:
    simulation = Simulation(max_step_ms=50)
    for _ in range(60):
        simulation.send(8, max_tokens=2000)
    simulation.run_until(10)
    prompt = simulation.send(320, max_tokens=1)
    simulation.run_until(60)

    assert prompt.wait < 10  # twenty chunks of the least size, in steps of half a second
