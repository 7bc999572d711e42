"""Fuzzes a door of Tercet for as many executions as it is told to.

    python -m tests.fuzz config --executions 1000000 --seed 1

Executions run in child processes, a batch in each, so that one that crashes or hangs is a finding
and not the end. What a guided campaign found to lead somewhere new is kept in build/fuzz/corpus,
and the next goes on from it; `--afresh` begins with the seeds alone. A finding is written to
tests/fuzz/findings/NAME, beside it why it is one and the command that runs it again. Ends with 1 if
there was any.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.board import Board
from tests.fuzz.judge import write_finding
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

FINDINGS = Path(__file__).parent / "findings"
KEPT = Path(__file__).parents[2] / "build" / "fuzz" / "corpus"
_MAX_STILL_CPU_SECONDS = 60
_MAX_STILL_SECONDS = 1800
"""The machine may be busy with other things, but not for so long."""
_TICKS = os.sysconf("SC_CLK_TCK")
_TAIL = 3000


class Campaign:
    """All batches of one target.

    Args:
        target: what is fuzzed.
        seed: of all that is random.
        how: "guided" or "blind".
        findings: where they are written.
        corpus: where inputs are kept that led somewhere new; None: nowhere.
    """

    def __init__(
        self, target: Target, seed: int, how: str, findings: Path, corpus: Path | None = None
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.num_run = 0
        self._target, self._seed, self._how = target, seed, how
        self._findings = findings
        self._corpus = corpus

    def run(self, count: int, batch: int) -> int:
        """Run executions; return how many findings there were."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="tercet-fuzz-") as folder:
            while self.num_run < count:
                self._run_batch(min(batch, count - self.num_run), Path(folder))
                rate = self.num_run / (time.monotonic() - started)
                told = ", ".join(f"{n} {what}" for what, n in self.outcomes.most_common(8))
                line = f"{self._target.name}: {self.num_run} of {count}, {rate:.0f}/s: {told}"
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()
        return self.outcomes["findings"]

    def _run_batch(self, count: int, work: Path) -> None:
        for name in ("board", "outcomes.json"):
            (work / name).unlink(missing_ok=True)
        board = Board(work / "board")
        arguments = (self._target.name, self._how, self._seed, self.num_run, count, work)
        command = [sys.executable, "-m", "tests.fuzz.worker", *map(str, arguments)]
        command += [str(self._findings), str(self._corpus or work / "corpus")]
        with (work / "log").open("w+b") as log:
            child = subprocess.Popen(command, stdout=log, stderr=log)
            try:
                is_still = self._wait(child, board)
            finally:
                child.kill()
                child.wait()
        self._count(work)
        if is_still or child.returncode != 0:
            words = (work / "log").read_text(errors="replace")[-_TAIL:]
            if board.num_begun == 0:
                raise SystemExit(words)
            kind = "hang" if is_still else f"died-{child.returncode}"
            write_finding(self._findings, self._target.name, kind, board.input, words)
            self.outcomes["findings"] += 1
        self.num_run += board.num_begun

    def _wait(self, child: subprocess.Popen[bytes], board: Board) -> bool:
        """Wait for the child's end; true if it hangs instead."""
        num_begun, since, cpu_since = -1, time.monotonic(), 0.0
        while True:
            try:
                child.wait(1)
            except subprocess.TimeoutExpired:
                if board.num_begun != num_begun:
                    num_begun, since = board.num_begun, time.monotonic()
                    cpu_since = cpu_seconds(child.pid)
                elif (
                    cpu_seconds(child.pid) - cpu_since > _MAX_STILL_CPU_SECONDS
                    or time.monotonic() - since > _MAX_STILL_SECONDS
                ):
                    return True
            else:
                return False

    def _count(self, work: Path) -> None:
        path = work / "outcomes.json"
        if path.exists():
            self.outcomes.update(json.loads(path.read_text())["outcomes"])


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken so far."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has just ended, or this is no Linux
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> int:
    """Run a campaign, or one input again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=50_000, help="executions of one process")
    parser.add_argument("--blind", action="store_true", help="do not let coverage guide it")
    parser.add_argument("--afresh", action="store_true", help="do not go on from earlier ones")
    parser.add_argument("--replay", type=Path, help="run one input, in this process")
    parser.add_argument("--findings", type=Path, help="where they are written")
    options = parser.parse_args()
    target = TARGETS[options.target]
    if options.replay:
        outcome = target.open()(options.replay.read_bytes())
        sys.stdout.write(f"{outcome}\n")
        return 0
    is_guided = not options.blind and importlib.util.find_spec("atheris") is not None
    how = "guided" if is_guided else "blind"
    findings = options.findings or FINDINGS / target.name
    corpus = None if options.afresh else KEPT / target.name
    campaign = Campaign(target, options.seed, how, findings, corpus)
    sys.stdout.write(f"{target.name}: {how}, seed {options.seed}\n")
    num_findings = campaign.run(options.executions, options.batch)
    if num_findings:
        sys.stdout.write(f"{target.name}: {num_findings} findings, see {findings}\n")
    return 1 if num_findings else 0


if __name__ == "__main__":
    sys.exit(main())
