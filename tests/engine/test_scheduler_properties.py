"""Whatever is mixed with it, a sequence gets the tokens that it gets alone.

The toy runner's keys are digests of the whole prefix, read back through the block tables, so that
any wrong table, chunk, or cached block changes the text. Pools are tiny, to force preemption.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tercet_engine.completion import FinishReason
from tercet_engine.config import EngineConfig
from tercet_engine.core import EngineCore
from tercet_engine.sampling_params import SamplingParams
from tercet_engine.sequence import Sequence
from tests.oracle.toy_runner import ToyRunner, as_token, toy_completion

MAX_TOKENS_IN_ALL = 40


@dataclass
class Outcome:
    finished: list[Sequence] = field(default_factory=list)
    num_preemptions: int = 0
    num_cached_tokens: int = 0
    num_aborted: int = 0
    num_drafted_tokens: int = 0
    num_accepted_tokens: int = 0


class RandomClock:
    """Seconds that pass at random between two looks, up to some hundred milliseconds at most."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = random.Random(rng.random())
        self._now = 0.0
        self._longest = rng.choice([1e-6, 0.01, 0.3])

    def __call__(self) -> float:
        self._now += self._rng.random() * self._longest
        return self._now


def random_config(rng: random.Random, block_size: int) -> EngineConfig:
    max_sequences = rng.randint(1, 8)
    return EngineConfig(
        max_batch_tokens=max(max_sequences, rng.choice([1, 3, 8, 16, 64])),
        max_sequences=max_sequences,
        prefix_cache=rng.random() < 0.8,
        max_step_ms=rng.choice([0, 1, 50, 200]),
        speculation=rng.choice(["auto", "auto", "off"]),
        block_size=block_size,
    )


def random_sequences(rng: random.Random) -> list[Sequence]:
    """Prompts that often share a beginning, over few different tokens."""
    num_symbols = rng.choice([2, 50])
    prefixes = [[rng.randrange(num_symbols) for _ in range(rng.randint(1, 20))] for _ in range(3)]
    sequences = []
    for index in range(rng.randint(1, 25)):
        shared = (rng.choice(prefixes) * 2)[: rng.randint(1, 22)]
        own = [rng.randrange(num_symbols) for _ in range(rng.randint(0, 6))]
        max_tokens = rng.randint(1, 12)
        params = SamplingParams(max_tokens=max_tokens, seed=rng.randrange(2))
        ends = frozenset({7} if rng.random() < 0.3 else ())
        choice = rng.randrange(2)
        sequences.append(Sequence(index, shared + own, params, max_tokens, ends, choice))
    return sequences


def as_repetitive_token(number: int) -> int:
    """Mostly 0 and seldom 1 or 7, so that guesses are often right."""
    return {0: 7, 1: 1, 2: 1}.get(number % 16, 0)


def serve(rng: random.Random, to_token: Callable[[int], int]) -> Outcome:
    """Serve random sequences that come and go at random, checking the books after every step."""
    block_size = rng.choice([1, 2, 4, 8])
    num_blocks = -(-rng.choice([MAX_TOKENS_IN_ALL, 48, 80, 160]) // block_size)
    runner = ToyRunner(num_blocks, block_size, to_token)
    core = EngineCore(runner, random_config(rng, block_size), RandomClock(rng))
    coming, here, outcome = random_sequences(rng), {}, Outcome()
    while coming or here:
        while coming and rng.random() < 0.5:
            seq = coming.pop()
            here[seq.id] = seq
            core.add([seq])
        if here and rng.random() < 0.03:
            seq = here.pop(rng.choice(list(here)))
            core.end(seq, FinishReason.ABORT)
            outcome.num_aborted += 1
        num_computed = core.stats().num_computed_tokens
        for output in core.step():
            if output.finish_reason:
                outcome.finished.append(here.pop(output.sequence_id))
        core.check_invariants()
        assert core.stats().num_computed_tokens > num_computed or not core.has_work
    stats = core.stats()
    assert (stats.num_running, stats.num_waiting) == (0, 0)
    assert stats.num_free_blocks == num_blocks
    outcome.num_preemptions = stats.num_preemptions
    outcome.num_cached_tokens = stats.num_cached_tokens
    outcome.num_drafted_tokens = stats.num_drafted_tokens
    outcome.num_accepted_tokens = stats.num_accepted_tokens
    return outcome


def alone(seq: Sequence, to_token: Callable[[int], int]) -> list[int]:
    return toy_completion(
        seq.tokens[: seq.num_prompt_tokens],
        seq.max_tokens,
        end_tokens=seq.end_tokens,
        seed=seq.params.seed,
        choice=seq.choice,
        to_token=to_token,
    )


def check(seeds: range) -> Outcome:
    total = Outcome()
    for seed in seeds:
        to_token = as_token if seed % 2 else as_repetitive_token
        outcome = serve(random.Random(seed), to_token)
        for seq in outcome.finished:
            generated = seq.tokens[seq.num_prompt_tokens :]
            assert generated == alone(seq, to_token), f"seed {seed}, id {seq.id}"
        total.finished += outcome.finished
        total.num_preemptions += outcome.num_preemptions
        total.num_cached_tokens += outcome.num_cached_tokens
        total.num_aborted += outcome.num_aborted
        total.num_drafted_tokens += outcome.num_drafted_tokens
        total.num_accepted_tokens += outcome.num_accepted_tokens
    return total


def test_a_sequence_gets_the_tokens_it_gets_alone() -> None:
    total = check(range(120))

    # The runs are worth something only if they did what they are there to stress.
    assert len(total.finished) > 1000
    assert total.num_preemptions > 50
    assert total.num_cached_tokens > 500
    assert total.num_aborted > 20
    assert total.num_drafted_tokens > 300
    assert total.num_accepted_tokens > 100


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_sequence_gets_the_tokens_it_gets_alone_in_many_more_runs() -> None:
    assert len(check(range(1000, 3000)).finished) > 20_000
