"""A model with random weights below the server: sequences in, steps timed.

Speculation is off where the engine knows it: random weights can fall into repeating themselves, and
a guess that comes true says nothing of how fast a step is.
"""

import contextlib
import dataclasses
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.common.script import progress_of_loading
from tercet_engine import EngineConfig, SamplingParams
from tercet_engine.completion import FinishReason
from tercet_engine.core import EngineCore
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_server.cli.subject import Subject, find_source, load_subject


def engine_config(**settings: Any) -> EngineConfig:
    """A config for measuring; `settings` that this engine does not have yet must be off."""
    known = {field.name for field in dataclasses.fields(EngineConfig)}
    defaults = {"touch_kv_cache": False, "prefix_cache": False, "speculation": "off"}
    wanted = {**defaults, **settings}
    unknown = {name for name in wanted.keys() - known if wanted[name] != "off"}
    if unknown:
        sys.exit(f"this engine has no {', '.join(sorted(unknown))}")
    return EngineConfig(**{name: value for name, value in wanted.items() if name in known})


@contextlib.contextmanager
def loaded(shape: str, config: EngineConfig) -> Iterator[Subject]:
    """Load random weights of a shape, and give their memory back."""
    with progress_of_loading() as listener:
        subject = load_subject(find_source(None, shape), config, listener)
    try:
        yield subject
    finally:
        subject.runner.close()


class Streams:
    """Sequences that are advanced together and timed.

    Args:
        subject: the model.
        prompts: token ids of each; None for `core`: a new one, with an empty cache.
        max_tokens: tokens each may generate; many more than will be timed.
    """

    def __init__(
        self,
        subject: Subject,
        prompts: Sequence[Sequence[int]],
        max_tokens: int,
        core: EngineCore | None = None,
    ) -> None:
        self._core = core or EngineCore(subject.runner, subject.config)
        self._sequences = [
            TokenSequence(
                id=index,
                tokens=list(prompt),
                params=SamplingParams(temperature=0),
                max_tokens=max_tokens,
            )
            for index, prompt in enumerate(prompts)
        ]

    def prefill(self) -> float:
        """Seconds until each has its first token."""
        start = time.perf_counter()
        self._core.add(self._sequences)
        while any(not seq.num_generated_tokens for seq in self._sequences):
            self._core.step()
        return time.perf_counter() - start

    def step_seconds(self, num_steps: int) -> float:
        """Mean seconds of a step in which each gets a token."""
        start = time.perf_counter()
        for _ in range(num_steps):
            self._core.step()
        return (time.perf_counter() - start) / num_steps

    def end(self) -> None:
        """Compute no more of them."""
        for seq in self._sequences:
            self._core.end(seq, FinishReason.ABORT)


def random_prompts(
    vocab_size: int, num_tokens: int, count: int = 1, seed: int = 0
) -> list[list[int]]:
    """Prompts of any tokens, the same for the same seed."""
    draw = random.Random(seed)
    return [draw.choices(range(vocab_size), k=num_tokens) for _ in range(count)]
