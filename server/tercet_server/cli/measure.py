"""Measures a loaded model: prompts, streams, and the memory that bounds them, in turns.

A host's clock and its neighbours change from second to second. So every round measures a prompt,
then segments of decoding with a reading of the memory bandwidth before each; figures are medians
over all rounds, and the share of the limit compares medians of the same seconds.

Every round starts an `EngineCore` of its own, so the same blocks of the KV cache are used again and
the peak of memory is that of one sequence.
"""

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from tercet_engine import SamplingParams
from tercet_engine.core import EngineCore
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_server.cli.failure import UsageError
from tercet_server.cli.subject import Subject

SEGMENTS: Final = 4
"""Segments of decoding in one round, each beside a reading of the bandwidth."""
STREAM_PROMPT_TOKENS: Final = 64
"""Prompts are short where many streams are measured: what counts there is decoding."""

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Workload:
    """What to measure.

    Attributes:
        prompt_tokens: length of the prompt.
        generate_tokens: tokens generated in each round, after the first.
        repeat: rounds.
        streams: numbers of streams that are decoded together, each measured by itself.
    """

    prompt_tokens: int = 512
    generate_tokens: int = 64
    repeat: int = 3
    streams: tuple[int, ...] = ()

    @property
    def num_tokens(self) -> int:
        """Tokens of one sequence, at its end."""
        return self.prompt_tokens + 1 + self.generate_tokens

    @property
    def num_touched_tokens(self) -> int:
        """Tokens in the KV cache at once, at least, where most are: its blocks are used again."""
        per_stream = self.stream_prompt_tokens + self.generate_tokens
        return max(self.num_tokens - 1, max(self.streams, default=0) * per_stream)

    @property
    def stream_prompt_tokens(self) -> int:
        """Length of the prompts where several streams are decoded."""
        return min(self.prompt_tokens, STREAM_PROMPT_TOKENS)

    @property
    def mean_context(self) -> float:
        """Tokens in the KV cache that a decoding step reads, on average."""
        return self.prompt_tokens + (self.generate_tokens + 1) / 2

    def check(self, max_context: int) -> None:
        """Raise `UsageError` unless one sequence fits the context."""
        if self.num_tokens > max_context:
            message = (
                f"{self.prompt_tokens} prompt tokens and {self.generate_tokens} generated ones "
                f"need a context of {self.num_tokens}; it is {max_context}. Raise --context or "
                "lower --prompt-tokens"
            )
            raise UsageError(message)


@dataclass(frozen=True, slots=True)
class StreamsFigure:
    """Decoding of several streams together."""

    streams: int
    tokens_per_second: float
    prompt_tokens: int


@dataclass(slots=True)
class Samples:
    """Everything that was timed, in order."""

    ttft_seconds: list[float] = field(default_factory=list)
    decode_tokens_per_second: list[float] = field(default_factory=list)
    memory_bandwidth_bytes_per_second: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians, and what they mean."""

    ttft_seconds: float
    prefill_tokens_per_second: float
    decode_tokens_per_second: float
    memory_bandwidth_bytes_per_second: float
    bytes_per_token: int
    streams: tuple[StreamsFigure, ...]
    samples: Samples

    @property
    def decode_limit_tokens_per_second(self) -> float:
        """What decoding would reach if it did nothing but read memory at the measured speed."""
        return self.memory_bandwidth_bytes_per_second / self.bytes_per_token

    @property
    def decode_share_of_limit(self) -> float:
        """Decoding as a share of that limit; over 1 where the weights stay in the caches."""
        return self.decode_tokens_per_second / self.decode_limit_tokens_per_second


def measure(
    subject: Subject,
    workload: Workload,
    measure_bandwidth: Callable[[], float],
    *,
    clock: Clock = time.perf_counter,
    on_round: Callable[[str], None] = lambda _: None,
) -> Figures:
    """Run the workload.

    Args:
        subject: the model.
        workload: what to run; it must fit the subject's context.
        measure_bandwidth: bytes per second that memory gives just now.
        clock: seconds.
        on_round: is told what is measured next.
    """
    samples = Samples()
    warm_up = _Run(subject, clock, min(16, workload.prompt_tokens))  # threads awake, pages mapped
    warm_up.prefill()
    for index in range(workload.repeat):
        on_round(f"round {index + 1} of {workload.repeat}")
        run = _Run(subject, clock, workload.prompt_tokens, workload.generate_tokens)
        samples.ttft_seconds.append(run.prefill())
        for num_steps in _segments(workload.generate_tokens):
            samples.memory_bandwidth_bytes_per_second.append(measure_bandwidth())
            samples.decode_tokens_per_second.append(run.decode(num_steps))
    streams = []
    for count in workload.streams:
        on_round(f"{count} streams")
        streams.append(_measure_streams(subject, workload, count, clock))
    ttft_seconds = statistics.median(samples.ttft_seconds)
    kv_bytes = subject.kv_bytes_per_token * workload.mean_context
    return Figures(
        ttft_seconds=ttft_seconds,
        prefill_tokens_per_second=workload.prompt_tokens / ttft_seconds,
        decode_tokens_per_second=statistics.median(samples.decode_tokens_per_second),
        memory_bandwidth_bytes_per_second=statistics.median(
            samples.memory_bandwidth_bytes_per_second
        ),
        bytes_per_token=subject.decode_bytes + round(kv_bytes),
        streams=tuple(streams),
        samples=samples,
    )


class _Run:
    """Some sequences of random tokens, from their prompts to their last tokens."""

    def __init__(
        self,
        subject: Subject,
        clock: Clock,
        prompt_tokens: int,
        generate_tokens: int = 0,
        num_streams: int = 1,
    ) -> None:
        self._core = EngineCore(subject.runner, subject.config)
        self._clock = clock
        draw = random.Random(0)  # noqa: S311 -- any tokens will do
        self._sequences = [
            TokenSequence(
                id=index,
                tokens=draw.choices(range(subject.vocab_size), k=prompt_tokens),
                params=SamplingParams(temperature=0),
                max_tokens=1 + generate_tokens,
            )
            for index in range(num_streams)
        ]

    def prefill(self) -> float:
        """Seconds until every sequence has its first token."""
        start = self._clock()
        self._core.add(self._sequences)
        while any(not seq.num_generated_tokens for seq in self._sequences):
            self._core.step()
        return self._clock() - start

    def decode(self, num_steps: int) -> float:
        """Tokens per second of all sequences together over the next steps."""
        start = self._clock()
        num_tokens = sum(len(self._core.step()) for _ in range(num_steps))
        return num_tokens / (self._clock() - start)


def _measure_streams(
    subject: Subject, workload: Workload, num_streams: int, clock: Clock
) -> StreamsFigure:
    prompt_tokens = workload.stream_prompt_tokens
    rates = []
    for _ in range(workload.repeat):
        # Streams whose prompts are done first decode while the others' are computed, so each is
        # given tokens enough to be still there in the last step that is timed.
        spare = _prefill_steps(num_streams * prompt_tokens, subject)
        room = subject.max_context - prompt_tokens - 1
        generate_tokens = min(workload.generate_tokens + spare, room)
        run = _Run(subject, clock, prompt_tokens, generate_tokens, num_streams)
        run.prefill()
        rates += [run.decode(num_steps) for num_steps in _segments(workload.generate_tokens)]
    return StreamsFigure(num_streams, statistics.median(rates), prompt_tokens)


def _prefill_steps(num_tokens: int, subject: Subject) -> int:
    """Steps at most until so many prompt tokens are computed, streams decoding beside them."""
    budget = subject.config.max_batch_tokens - subject.config.max_sequences
    return -(-num_tokens // max(1, budget)) + 1


def _segments(num_tokens: int) -> Sequence[int]:
    """Cut the tokens of a round into segments of nearly equal length, none of them empty."""
    count = min(SEGMENTS, num_tokens)
    return [num_tokens * (i + 1) // count - num_tokens * i // count for i in range(count)]
