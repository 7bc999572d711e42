"""How quickly does a converted model load, and what does it cost to use it where it is mapped?

    python -m benchmarks.converted --shape 2b4t

Random weights of the shape are converted once, to build/benchmarks/SHAPE-converted. Then a model
that was packed at load, one that was copied, and one that is used where the file is mapped are
loaded round after round, and decode in turns while all are there. What a step costs is told in
seconds of CPU time too, which other programs on the host disturb less. The file is in the page
cache after the first round, which is not counted.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Final

from benchmarks.common.host import ROOT
from benchmarks.common.model import Streams, engine_config, random_prompts
from benchmarks.common.plots import finish, new_figure
from benchmarks.common.script import Result, main, markdown, progress
from tercet_engine import EngineConfig, Silent
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.convert import new_folder, write_config
from tercet_engine.packed.weights import weight_file_bytes, write_weights
from tercet_engine.resources import usable_cpus
from tercet_engine.synthetic import SHAPES, SyntheticWeights
from tercet_server.cli.subject import NamedSource, Subject, load_subject

STEPS: Final = 4
NAMES: Final = {
    "packed": "packed at load",
    "converted": "converted, copied into huge pages",
    "mapped": "converted, where it is mapped",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--shape", choices=SHAPES, default="2b4t", help="of the random weights")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, help="of loading and decoding (5)")


def converted(shape: str) -> PackedCheckpoint:
    """The shape's random weights, converted if they are not yet."""
    folder = ROOT / "build" / "benchmarks" / f"{shape}-converted"
    source = SyntheticWeights(SHAPES[shape])
    if not folder.exists():
        with new_folder(folder, weight_file_bytes(source)) as new:
            written = write_weights(source, new, usable_cpus(), Silent())
            write_config(new, source, written, name=f"synthetic {shape}")
    return PackedCheckpoint(folder)


def measure(options: argparse.Namespace) -> Result:
    checkpoint = converted(options.shape)
    own = packing_of(checkpoint, options)
    sources = {
        "packed": (NamedSource("packed", SyntheticWeights(SHAPES[options.shape])), own),
        "converted": (NamedSource("converted", checkpoint), "auto"),
        "mapped": (NamedSource("mapped", checkpoint), "mapped"),
    }
    rounds = options.rounds or (2 if options.short else 5)
    load: dict[str, list[float]] = {name: [] for name in sources}
    decode: dict[str, list[float]] = {name: [] for name in sources}
    cpu: dict[str, list[float]] = {name: [] for name in sources}
    for number in progress(range(rounds + 1), lambda number: f"round {number}"):
        subjects = {
            name: load_subject(source, _config(options, packing), Silent())
            for name, (source, packing) in sources.items()
        }
        for name, subject in subjects.items():
            if number:
                load[name].append(subject.load_seconds)
        for name, steps in _decode(subjects, 4 if options.short else 12).items():
            if number:
                decode[name] += [seconds for seconds, _ in steps]
                cpu[name] += [seconds for _, seconds in steps]
        for subject in subjects.values():
            subject.runner.close()
    return {
        "shape": options.shape,
        "weight_bytes": checkpoint.num_bytes,
        "load_seconds": {name: statistics.median(found) for name, found in load.items()},
        "cpu_seconds_per_token": {name: statistics.median(found) for name, found in cpu.items()},
        "decode_tokens_per_second": {
            name: 1 / statistics.median(found) for name, found in decode.items()
        },
    }


def packing_of(checkpoint: PackedCheckpoint, options: argparse.Namespace) -> str:
    """The packing of the files, as this machine's kernels call it."""
    source = NamedSource("converted", checkpoint)
    subject = load_subject(source, _config(options, "auto"), Silent())
    subject.runner.close()
    return subject.packing


def _config(options: argparse.Namespace, packing: str) -> EngineConfig:
    return engine_config(
        num_threads=options.threads,
        packing=packing,
        max_context=512,
        max_batch_tokens=64,
        max_sequences=4,
    )


def _decode(subjects: dict[str, Subject], turns: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds, and seconds of CPU time, of a step; in turns."""
    streams = {}
    for name, subject in subjects.items():
        streams[name] = Streams(subject, random_prompts(subject.vocab_size, 4), 512)
        streams[name].prefill()
        streams[name].step_seconds(2)
    steps: dict[str, list[tuple[float, float]]] = {name: [] for name in subjects}
    for _ in range(turns):
        for name, stream in streams.items():
            begin = time.process_time()
            seconds = stream.step_seconds(STEPS)
            steps[name].append((seconds, (time.process_time() - begin) / STEPS))
    return steps


def table(result: Result) -> str:
    return markdown(
        ("", "load, s", "decode, tokens/s", "CPU ms a token"),
        [
            (
                text,
                f"{result['load_seconds'][name]:.2f}",
                f"{result['decode_tokens_per_second'][name]:.1f}",
                f"{1e3 * result['cpu_seconds_per_token'][name]:.1f}",
            )
            for name, text in NAMES.items()
        ],
    )


def plot(result: Result, path: Path) -> None:
    figure, [axes] = new_figure()
    axes.bar(list(NAMES.values()), [result["load_seconds"][name] for name in NAMES])
    axes.set_ylabel("seconds to load")
    finish(figure, path)


if __name__ == "__main__":
    main(__doc__, add_options, measure, table, plot)
