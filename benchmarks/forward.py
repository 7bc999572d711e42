"""How tokens per second depend on the size of a batch and on the length of the context.

    python -m benchmarks.forward --plot forward.svg

Random weights, no server. One row of points for each question, and no point may be a cliff:
streams that decode together, one token each; a prompt's tokens computed in one step; one stream
after a context of so many tokens; the last 512 tokens of a prompt of so many. Points are visited in
rounds, so that a slow moment of the host does not fall on one of them, and medians are reported.
"""

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks.common.arithmetic import powers_of_two
from benchmarks.common.model import Streams, engine_config, loaded, random_prompts
from benchmarks.common.plots import finish, log_axis, new_figure, series
from benchmarks.common.script import Result, main, markdown, progress
from tercet_engine.core import EngineCore
from tercet_server.cli.bandwidth import BandwidthMeter
from tercet_server.cli.subject import Subject

MAX_BATCH = 512
STREAM_PROMPT_TOKENS = 1
TIMED_SECONDS = 0.25  # a point's steps go on for so long at least, and are two at least
NAMES = {
    "streams": "streams decoding together",
    "chunk": "prompt tokens in one step",
    "decode_at": "decode, one stream, context",
    "prefill_at": "last 512 tokens of a prompt",
}


@dataclass(slots=True)
class Samples:
    """Tokens per second of each question, by its points, round after round."""

    values: dict[str, dict[int, list[float]]] = field(
        default_factory=lambda: {name: {} for name in NAMES}
    )

    def add(self, name: str, point: int, tokens_per_second: float) -> None:
        """Keep one."""
        self.values[name].setdefault(point, []).append(tokens_per_second)

    def medians(self) -> dict[str, dict[str, float]]:
        """Of all rounds."""
        return {
            name: {str(point): statistics.median(found) for point, found in points.items()}
            for name, points in self.values.items()
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", default="2b4t", help="of the random weights (2b4t)")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--kernels", default="", help="kernel set to force")
    parser.add_argument("--kv-type", default="bf16")
    parser.add_argument("--context", type=int, default=4096, help="the longest (4096)")
    parser.add_argument("--rounds", type=int, help="3; 1 with --short")


def measure(options: argparse.Namespace) -> Result:
    config = engine_config(
        max_context=options.context,
        max_sequences=MAX_BATCH,
        max_batch_tokens=MAX_BATCH,
        num_threads=options.threads,
        kernels=options.kernels,
        kv_type=options.kv_type,
        prefix_cache=True,  # a longer context begins where the shorter one has ended
    )
    samples, bandwidth = Samples(), []
    with loaded(options.shape, config) as subject, BandwidthMeter(subject.num_threads) as meter:
        Streams(subject, random_prompts(subject.vocab_size, 16), 1).prefill()  # threads awake
        for name, work in progress(_work(subject, options, samples), lambda item: item[0]):
            del name
            bandwidth.append(meter.measure())
            work()
        return {
            "shape": options.shape,
            "kernels": subject.kernels,
            "threads": subject.num_threads,
            "kv_type": options.kv_type,
            "bandwidth_bytes_per_second": statistics.median(bandwidth),
            "decode_bytes": subject.decode_bytes,
            "kv_bytes_per_token": subject.kv_bytes_per_token,
            "tokens_per_second": samples.medians(),
        }


def _work(
    subject: Subject, options: argparse.Namespace, samples: Samples
) -> list[tuple[str, Callable[[], None]]]:
    """Everything to do, in order, each with a name."""
    sizes = [1, 4, 16, 64, MAX_BATCH] if options.short else powers_of_two(1, MAX_BATCH)
    longest = subject.max_context - 64
    contexts = [16, MAX_BATCH, 2048] if options.short else powers_of_two(1, longest)
    contexts = [context for context in contexts if context <= longest]
    work: list[tuple[str, Callable[[], None]]] = []
    for index in range(options.rounds or (1 if options.short else 3)):
        for size in sizes:
            work.append((f"{size} streams", partial(_streams, subject, size, samples)))
            work.append((f"{size} prompt tokens", partial(_chunk, subject, size, samples)))
        work.append(
            (
                f"contexts to {contexts[-1]}",
                partial(_contexts, subject, contexts, index, samples),
            )
        )
    return work


def _streams(subject: Subject, count: int, samples: Samples) -> None:
    prompts = random_prompts(subject.vocab_size, STREAM_PROMPT_TOKENS, count)
    streams = Streams(subject, prompts, subject.max_context // 2)
    streams.prefill()
    samples.add("streams", count, count / _step_seconds(streams))


def _chunk(subject: Subject, num_tokens: int, samples: Samples) -> None:
    prompts = random_prompts(subject.vocab_size, num_tokens)
    seconds = [Streams(subject, prompts, 1).prefill() for _ in range(3 if num_tokens < 64 else 1)]
    samples.add("chunk", num_tokens, num_tokens / min(seconds))


def _contexts(subject: Subject, contexts: list[int], seed: int, samples: Samples) -> None:
    [tokens] = random_prompts(subject.vocab_size, contexts[-1], seed=seed)
    core = EngineCore(subject.runner, subject.config)
    for context in contexts:
        if context > MAX_BATCH:  # up to where the last chunk begins; what is known is not computed
            before = Streams(subject, [tokens[: context - MAX_BATCH]], 1, core)
            before.prefill()
        streams = Streams(subject, [tokens[:context]], 48, core)
        seconds = streams.prefill()
        if context >= MAX_BATCH:
            samples.add("prefill_at", context, MAX_BATCH / seconds)
        samples.add("decode_at", context, 1 / _step_seconds(streams, 40))
        streams.end()


def _step_seconds(streams: Streams, max_steps: int = 200) -> float:
    """Mean of as many steps as fill the time of a point."""
    first = streams.step_seconds(1)
    num_steps = max(2, min(max_steps, round(TIMED_SECONDS / first)))
    return streams.step_seconds(num_steps)


def table(result: Result) -> str:
    blocks = []
    for name, title in NAMES.items():
        points = result["tokens_per_second"][name]
        row = ["tokens/s", *(f"{rate:.1f}" for rate in points.values())]
        blocks.append(markdown([title, *points], [row]))
    limit = result["bandwidth_bytes_per_second"]
    blocks.append(
        f"{result['shape']}, {result['kernels']}, {result['threads']} threads, keys and values in "
        f"{result['kv_type']}; memory gave {limit / 1e9:.1f} GB/s in this run, the weights are "
        f"{result['decode_bytes'] / 1e6:.0f} MB."
    )
    return "\n\n".join(blocks)


def plot(result: Result, path: Path) -> None:
    figure, (batch, context) = new_figure(2)
    names = (("streams", "chunk"), ("decode_at", "prefill_at"))
    for axes, pair in zip((batch, context), names, strict=True):
        for index, name in enumerate(pair):
            points = {int(point): rate for point, rate in result["tokens_per_second"][name].items()}
            series(axes, list(points), list(points.values()), NAMES[name], index)
        axes.set_yscale("log")
        axes.set_ylabel("tokens/s")
    log_axis(batch, [1, 4, 16, 64, 256], "tokens in a step")
    log_axis(context, [1, 16, 128, 1024, 4096], "tokens in the context")
    batch.set_title(f"by batch, {result['kernels']}, {result['threads']} threads")
    context.set_title("by context")
    finish(figure, path)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table, plot)
