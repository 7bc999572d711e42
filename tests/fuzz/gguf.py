"""A hundred thousand damaged and hostile GGUF files: each is read in full or refused in words.

    python -m tests.fuzz.gguf --cases 100000 --seed 1

Each case is opened, every value is looked at, every byte of every tensor is read, and its tokenizer
is built and used. Nothing but `CheckpointError` and `UnsupportedModel` may come out, with a message
that names the file; and opening may allocate no more than a small multiple of the file's size. A
case is made from the seed and its number alone: `--only NUMBER` runs one again.
"""

import argparse
import random
import sys
import time
import traceback
import tracemalloc
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.gguf import GgufFile, GgufTokenizer
from tercet_engine.gguf.strings import StringArray
from tests.fuzz.gguf_cases import hostile_file

ALLOWED_PER_BYTE = 32
ALLOWED_BYTES = 1 << 20
PATH = Path("hostile.gguf")
TEXTS = ("ab a<s></s> \n12345 é", "<tool>", "")


class TooMuchMemory(Exception):
    """Opening a file allocated more than its size allows."""


@dataclass
class Tally:
    """What came of the cases."""

    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    most_bytes: int = 0

    def run(self, seed: int, case: int) -> None:
        """Run one case."""
        content = hostile_file(random.Random(f"{seed}/{case}"))
        try:
            self.outcomes[self._outcome(content)] += 1
        except Exception as error:  # noqa: BLE001 -- every other one is a finding
            self._found(seed, case, error)
        except BaseException as error:  # a panic of the tokenizers' library is none of Exception
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            self._found(seed, case, error)

    def _outcome(self, content: bytes) -> str:
        try:
            file = self._open(content)
            read_tensors(file, content)
        except (CheckpointError, UnsupportedModel) as error:
            check_message(error)
            return f"refused as {type(error).__name__}"
        if "tokenizer.ggml.model" not in file.metadata:
            return "read"
        try:
            use_tokenizer(file)
        except (CheckpointError, UnsupportedModel) as error:
            check_message(error)
            return f"read, its tokenizer refused as {type(error).__name__}"
        return "read with its tokenizer"

    def _open(self, content: bytes) -> GgufFile:
        tracemalloc.start()
        try:
            file = GgufFile.from_bytes(content, PATH)
            for value in file.metadata.values():
                if isinstance(value, StringArray):
                    value.decode()
            return file
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            self.most_bytes = max(self.most_bytes, peak)
            if peak > ALLOWED_BYTES + ALLOWED_PER_BYTE * len(content):
                message = f"{peak} bytes for a file of {len(content)}"
                raise TooMuchMemory(message)

    def _found(self, seed: int, case: int, error: BaseException) -> None:
        self.outcomes["findings"] += 1
        if len(self.findings) < 10:
            trace = "".join(traceback.format_exception(error))
            self.findings.append(f"--seed {seed} --only {case}\n{trace[-3000:]}")


def read_tensors(file: GgufFile, content: bytes) -> None:
    """Read every byte of every tensor; none may lie within another."""
    end = 0
    for tensor in file.tensors.values():
        assert tensor.offset >= end, "overlap"
        end = tensor.offset + tensor.num_bytes
        assert file.bytes_of(tensor.name) == content[tensor.offset : end]
        assert file.array(tensor.name).size == tensor.num_bytes
        assert tensor.num_bytes > 0


def check_message(error: Exception) -> None:
    """A refusal must name the file, and be short enough to be read."""
    assert str(PATH) in str(error)
    assert len(str(error)) < 3000, str(error)


def use_tokenizer(file: GgufFile) -> None:
    """Build the tokenizer and turn a few texts to and fro."""
    described = GgufTokenizer(file.config)
    described.config()
    tokenizer = described.tokenizer()
    for text in TEXTS:
        tokens = tokenizer.encode(text)
        tokenizer.decode(tokens)
        assert all(0 <= token < tokenizer.vocab_size for token in tokens)
    for token in described.end_token_ids:
        tokenizer.token_text(token)


def main() -> int:
    """Run the cases and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="run this case alone")
    options = parser.parse_args()
    cases = range(options.cases) if options.only is None else range(options.only, options.only + 1)
    tally, console = Tally(), Console(stderr=True)
    columns = (TextColumn("fuzzing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    started = time.monotonic()
    with Progress(*columns, console=console, transient=True) as progress:
        for case in progress.track(cases):
            tally.run(options.seed, case)
    seconds = time.monotonic() - started
    for finding in tally.findings:
        console.print(finding, markup=False)
    outcomes = ", ".join(f"{count} {what}" for what, count in tally.outcomes.most_common())
    sys.stdout.write(
        f"{len(cases)} cases in {seconds:.0f} s: {outcomes}; "
        f"at most {tally.most_bytes / 1024:.0f} KiB allocated by one; "
        f"{tally.outcomes['findings']} findings\n"
    )
    return 1 if tally.outcomes["findings"] else 0


if __name__ == "__main__":
    sys.exit(main())
