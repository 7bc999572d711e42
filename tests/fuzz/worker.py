"""The child that runs a part of a campaign: guided by what is new where it can be, else blindly.

Guided, atheris (libFuzzer) keeps every input that reaches something no other did, and makes the
next ones of these with the target's own `mutate`. Blindly, each input is made of the seeds, by its
number alone. Both give the same inputs for the same seed.
"""

import random
import resource
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.board import Board
from tests.fuzz.judge import Judge
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

MAX_BYTES = 6 << 30
"""Of the child's memory, mappings included."""
_TELL_EVERY = 500


def main() -> None:
    """`worker NAME guided|blind SEED FIRST COUNT FOLDER FINDINGS CORPUS`."""
    name, how, seed, first, count, folder, findings, corpus = sys.argv[1:]
    target, work = TARGETS[name], Path(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MAX_BYTES, MAX_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    judge = Judge(target, target.open(), Path(findings), Board(work / "board"))
    if how == "guided":
        guided(target, judge, int(seed) + int(first), int(count), work=work, corpus=Path(corpus))
    else:
        blindly(target, judge, int(seed), range(int(first), int(first) + int(count)))
        judge.tell(work / "outcomes.json")


def blindly(target: Target, judge: Judge, seed: int, numbers: range) -> None:
    """Run inputs made by their numbers; the first are those that everything begins with."""
    inputs = target.inputs()
    for number in numbers:
        judge.run(blind_input(target, inputs, seed, number))


def blind_input(target: Target, inputs: list[bytes], seed: int, number: int) -> bytes:
    """The input of one number."""
    if number < len(inputs):
        return inputs[number]
    rng = random.Random(f"{seed}/{number}")
    data = rng.choice(inputs)
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = target.mutate(data, rng)[: target.max_bytes]
    return data


def guided(
    target: Target, judge: Judge, seed: int, count: int, *, work: Path, corpus: Path
) -> None:
    """Let libFuzzer choose what to go on from, and keep it in `corpus`. It ends the process."""
    import atheris

    for function in _functions(target.guided_by):
        atheris.instrument_func(function)

    @atheris.instrument_func
    def run(data: bytes) -> None:
        judge.run(data)
        if judge.num_run % _TELL_EVERY == 0 or judge.num_run >= count:
            judge.tell(work / "outcomes.json")

    def mutate(data: bytes, max_size: int, step: int) -> bytes:
        rng = random.Random(step)
        if rng.random() < 0.1:
            data = rng.choice(inputs)
        return target.mutate(data, rng)[:max_size]

    inputs = target.inputs()
    corpus.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(inputs):
        (corpus / f"seed-{index:04}").write_bytes(data)
    options = [
        *(f"-seed={seed % 2**31 or 1}", f"-runs={count}", f"-max_len={target.max_bytes}"),
        *("-len_control=0", "-timeout=600", "-rss_limit_mb=0", "-reload=0", "-verbosity=0"),
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], run, custom_mutator=mutate)
    atheris.Fuzz()


def _functions(prefixes: tuple[str, ...]) -> Iterator[types.FunctionType]:
    """The functions of all modules that begin so."""
    for name, module in list(sys.modules.items()):
        if name.startswith(prefixes):
            for value in list(vars(module).values()):
                yield from _functions_of(value, name)


def _functions_of(value: Any, module: str) -> Iterator[types.FunctionType]:
    if getattr(value, "__module__", None) != module:
        return
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, type):
        for member in list(vars(value).values()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))
            if isinstance(inner, types.FunctionType):
                yield inner


if __name__ == "__main__":
    main()
