"""What a step hands out: every token, in order, and what became of each sequence."""

import itertools

from tercet_engine.completion import FinishReason
from tercet_engine.config import EngineConfig
from tercet_engine.core import EngineCore, TokenOutput
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence
from tests.oracle.toy_runner import ToyRunner


def always_three(_: int) -> int:
    return 3


def make_core(**settings: object) -> EngineCore:
    """A core whose model says nothing but 3, and whose steps all take the same time."""
    config = EngineConfig(max_batch_tokens=64, max_sequences=4, **settings)
    return EngineCore(ToyRunner(16, 16, always_three), config, itertools.count().__next__)


def outputs_of(core: EngineCore, seq: Sequence) -> list[list[TokenOutput]]:
    core.add([seq])
    steps = []
    while core.has_work:
        steps.append(core.step())
    return steps


def sequence(max_tokens: int, end_tokens: frozenset[int] = frozenset()) -> Sequence:
    return Sequence(5, [1, 2], SamplingParams(max_tokens=max_tokens), max_tokens, end_tokens)


def test_a_step_hands_out_every_token_it_drew_and_the_end_with_the_last() -> None:
    steps = outputs_of(make_core(), sequence(40))
    outputs = [output for step in steps for output in step]

    assert len(steps) < 30  # guesses were right
    assert [output.token for output in outputs] == [3] * 40
    assert {output.sequence_id for output in outputs} == {5}
    assert [output.finish_reason for output in outputs] == [None] * 39 + [FinishReason.LENGTH]


def test_without_speculation_a_step_draws_one_token() -> None:
    core = make_core(speculation="off")

    assert [len(step) for step in outputs_of(core, sequence(40))] == [1] * 40
    assert core.stats().num_drafted_tokens == 0


def test_guesses_are_counted_as_computed_and_as_generated_only_if_right() -> None:
    core = make_core()
    outputs_of(core, sequence(40))
    stats = core.stats()

    assert stats.num_generated_tokens == 40
    assert stats.num_accepted_tokens == 40 - stats.num_steps
    assert stats.num_computed_tokens == 2 + (stats.num_steps - 1) + stats.num_drafted_tokens
    assert stats.num_finished == 1


def test_cached_tokens_are_counted_once_for_each_sequence() -> None:
    core = make_core()
    outputs_of(core, Sequence(1, [1] * 40, SamplingParams(), 9))
    outputs_of(core, Sequence(2, [1] * 40, SamplingParams(), 9))

    assert core.stats().num_cached_tokens == 32
