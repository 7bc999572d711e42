"""What speculation gains where an answer quotes its prompt, and costs where it does not.

    python -m benchmarks.speculation --plot speculation.svg

Random weights quote nothing, so the answers here are written in advance: every step computes the
whole batch as always, drawn tokens and all, and then the answer's next tokens take their place.
Times are therefore those of the model, and the answer is one that this benchmark knows: `quote` is
a summary made of passages of the prompt, with a few words of its own between them; `random` holds
nothing that was said before, so that every guess is wrong.

Both are decoded with `--speculation off` and `auto`, in turns, and the tokens must be the same.
"""

import argparse
import dataclasses
import random
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from benchmarks.common.model import engine_config, loaded
from benchmarks.common.plots import COLORS, finish, new_figure
from benchmarks.common.script import Result, main, markdown, progress
from tercet_engine import SamplingParams
from tercet_engine.batch import Batch
from tercet_engine.core import EngineCore, Runner
from tercet_engine.sequence import Sequence as TokenSequence
from tercet_engine.step_result import StepResult
from tercet_server.cli.subject import Subject

WORKLOADS = ("quote", "random")
QUOTED_TOKENS = (12, 40)
OWN_TOKENS = (2, 8)
VOCABULARY = 4000


class ScriptedRunner:
    """Computes every batch, and answers as the script says.

    Attributes:
        tokens: the script: what stands at each place of the sequence.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.tokens: list[int] = []

    @property
    def num_blocks(self) -> int:
        """The model's."""
        return self._runner.num_blocks

    def run(self, batch: Batch) -> StepResult:
        """Compute, and tell the script's tokens."""
        tokens = [self.tokens[place] for place in batch.sampling.position]
        return dataclasses.replace(self._runner.run(batch), tokens=tokens)

    def head_stats(self) -> Mapping[str, int]:
        """As the model has it."""
        return self._runner.head_stats()

    def close(self) -> None:
        """The model is not this object's."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", default="2b4t", help="of the random weights (2b4t)")
    parser.add_argument("--prompt-tokens", type=int, default=384)
    parser.add_argument("--tokens", type=int, default=192, help="of the answer (192)")
    parser.add_argument("--rounds", type=int, help="5; 2 with --short")


def measure(options: argparse.Namespace) -> Result:
    rounds = options.rounds or (2 if options.short else 5)
    speeds: dict[str, dict[str, list[float]]] = {w: {"off": [], "auto": []} for w in WORKLOADS}
    configs = {mode: engine_config(max_context=1024, speculation=mode) for mode in ("off", "auto")}
    with loaded(options.shape, configs["off"]) as subject:
        runner = ScriptedRunner(subject.runner)
        cores = {mode: EngineCore(runner, config) for mode, config in configs.items()}
        # The first round is not counted: a server has long learnt what its steps cost.
        for seed in progress(range(rounds + 1), lambda index: f"round {index} of {rounds}"):
            for workload in WORKLOADS:
                prompt, answer = script(workload, options.prompt_tokens, options.tokens, seed)
                runner.tokens = prompt + answer
                for mode, core in cores.items():
                    speed = _decode(core, prompt, answer, subject)
                    if seed:
                        speeds[workload][mode].append(speed)
    medians = {
        workload: {mode: statistics.median(found) for mode, found in by_mode.items()}
        for workload, by_mode in speeds.items()
    }
    ratios = {
        workload: statistics.median(
            auto / off for auto, off in zip(by_mode["auto"], by_mode["off"], strict=True)
        )
        for workload, by_mode in speeds.items()
    }
    return {"shape": options.shape, "tokens_per_second": medians, "ratio": ratios}


def script(
    workload: str, num_prompt_tokens: int, num_tokens: int, seed: int
) -> tuple[list[int], list[int]]:
    """A prompt and its answer."""
    draw = random.Random(seed)
    unused = draw.sample(range(VOCABULARY), k=VOCABULARY)
    prompt = [unused.pop() for _ in range(num_prompt_tokens)]
    answer: list[int] = []
    while len(answer) < num_tokens:
        answer += [unused.pop() for _ in range(draw.randint(*OWN_TOKENS))]
        if workload == "quote":
            length = draw.randint(*QUOTED_TOKENS)
            start = draw.randrange(num_prompt_tokens - length)
            answer += prompt[start : start + length]
    return prompt, answer[:num_tokens]


def _decode(core: EngineCore, prompt: list[int], answer: list[int], subject: Subject) -> float:
    """Tokens per second after the first; ends the program if one is not the script's."""
    params = SamplingParams(temperature=0)
    sequence = TokenSequence(id=0, tokens=list(prompt), params=params, max_tokens=len(answer))
    core.add([sequence])
    while not sequence.num_generated_tokens:
        core.step()
    start, before = time.perf_counter(), sequence.num_generated_tokens
    while sequence.finish_reason is None:
        core.step()
    elapsed = time.perf_counter() - start
    if sequence.tokens != prompt + answer:
        sys.exit(f"{subject.name}: speculation has changed the answer")
    return (len(answer) - before) / elapsed


def table(result: Result) -> str:
    rows = [
        [workload, *(f"{speeds[mode]:.1f}" for mode in ("off", "auto")), f"{ratio:.2f}"]
        for (workload, speeds), ratio in zip(
            result["tokens_per_second"].items(), result["ratio"].values(), strict=True
        )
    ]
    return markdown(["answer", "off, tokens/s", "auto, tokens/s", "ratio"], rows)


def plot(result: Result, path: Path) -> None:
    figure, (axes,) = new_figure()
    for index, mode in enumerate(("off", "auto")):
        places = [place + 0.4 * index for place in range(len(WORKLOADS))]
        values = [result["tokens_per_second"][workload][mode] for workload in WORKLOADS]
        axes.bar(places, values, 0.38, color=COLORS[index], label=f"speculation {mode}")
    axes.set_xticks([place + 0.2 for place in range(len(WORKLOADS))], list(WORKLOADS))
    axes.set_ylabel("tokens/s, one stream")
    finish(figure, path)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table, plot)
