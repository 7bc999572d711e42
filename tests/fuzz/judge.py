"""Runs inputs one by one and judges each: an error that is none of ours, too long, too much memory.

Findings of one kind, raised at one place, are kept once, with how often they came.
"""

import contextlib
import hashlib
import json
import resource
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.board import Board
from tests.fuzz.target import Finding, Target

_SECONDS_OF_MUCH_MEMORY = 0.005
"""Nobody takes much memory in less; asking how much there is takes time too."""
_OURS = ("tercet_engine", "tercet_server", "tests/fuzz")


class Judge:
    """Judges a child's inputs.

    Args:
        target: whose they are.
        run: the target, opened.
        folder: where findings are written.
        board: for the parent.
    """

    def __init__(
        self, target: Target, run: Callable[[bytes], str], folder: Path, board: Board
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.num_run = 0
        self._target = target
        self._run = run
        self._folder = folder
        self._board = board
        self._most_memory = _memory()

    def run(self, data: bytes) -> None:
        """Run one input."""
        self.num_run += 1
        self._board.begin(self.num_run, data)
        started = time.perf_counter()
        try:
            outcome = self._run(data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 -- panics of libraries are no Exceptions
            outcome = "finding"
            self._found(data, type(error).__name__ + "-" + _place(error), _told(error))
        seconds = time.perf_counter() - started
        self.outcomes[outcome] += 1
        if seconds > self._target.max_seconds:
            self._time(data)
        if seconds > _SECONDS_OF_MUCH_MEMORY:
            self._weigh(data)

    def _weigh(self, data: bytes) -> None:
        memory = _memory()
        growth, self._most_memory = memory - self._most_memory, max(memory, self._most_memory)
        if growth > self._target.max_growth:
            limit = self._target.max_growth
            self._found(data, "large", f"the process grew by {growth} bytes; at most {limit}\n")

    def _time(self, data: bytes) -> None:
        """Run again what took long, for the machine may have been busy with something else."""
        started = time.process_time()
        with contextlib.suppress(Exception):
            self._run(data)
        seconds, limit = time.process_time() - started, self._target.max_seconds
        if seconds > limit:
            self._found(data, "slow", f"{seconds:.2f} s of processor time; at most {limit:g} s\n")

    def tell(self, path: Path) -> None:
        """Write what came of all of them."""
        path.write_text(json.dumps({"executions": self.num_run, "outcomes": self.outcomes}))

    def _found(self, data: bytes, kind: str, words: str) -> None:
        self.outcomes["findings"] += 1
        write_finding(self._folder, self._target.name, kind, data, words)


def write_finding(folder: Path, target: str, kind: str, data: bytes, words: str) -> None:
    """Write an input, and beside it why it is a finding; of each kind one, the smallest."""
    folder.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(kind.encode(), digest_size=4).hexdigest()
    path = folder / f"{kind[:80].replace('/', '.')}-{name}"
    if path.exists() and path.stat().st_size <= len(data):
        return
    path.write_bytes(data)
    replay = f"python -m tests.fuzz {target} --replay {path}"
    path.with_name(f"{path.name}.txt").write_text(f"{replay}\n\n{words}", errors="replace")


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6000:]


def _place(error: BaseException) -> str:
    """Where it was raised: the innermost line of ours."""
    if isinstance(error, Finding):
        return str(error)[:40].replace(" ", "_")
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if any(name in frame.filename for name in _OURS)]
    frame = (ours or frames)[-1]
    return f"{Path(frame.filename).name}-{frame.lineno}"


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
