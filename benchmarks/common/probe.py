"""A server that notes when each step was computed, and how late its event loop was.

    python -m benchmarks.common.probe RECORD.json MODEL --port 8000

It is `tercet serve` with two clocks in it: around `ModelRunner.run`, which is all that the engine
asks of C++, and in a task of the event loop that sleeps a little over and over. At the end the
record is written: [start, end, outputs] of every step, and every delay, in seconds.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path
from typing import Any, Final

from tercet_engine.batch import Batch
from tercet_engine.model_runner import ModelRunner
from tercet_engine.step_result import StepResult
from tercet_server.runner import serve
from tercet_server.settings import load_settings

SLEEP_SECONDS: Final = 0.005


class Record:
    """What the probe has seen."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float, int]] = []
        self.delays: list[float] = []
        self._tasks: list[asyncio.Task[None]] = []

    def watch_steps(self) -> None:
        """Put the clock around the model."""
        run = ModelRunner.run

        def timed(runner: ModelRunner, batch: Batch) -> StepResult:
            start = time.perf_counter()
            drawn = run(runner, batch)
            self.steps.append((start, time.perf_counter(), len(batch.outputs)))
            return drawn

        ModelRunner.run = timed  # type: ignore[assignment, method-assign] # a probe

    def watch_loop(self) -> None:
        """Begin to measure the event loop; called on its thread."""
        self._tasks.append(asyncio.get_running_loop().create_task(self._sleep_over_and_over()))

    async def _sleep_over_and_over(self) -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(SLEEP_SECONDS)
            self.delays.append(time.perf_counter() - start - SLEEP_SECONDS)

    def as_json(self) -> dict[str, Any]:
        """Every number."""
        return {"steps": self.steps, "delays": self.delays}


def main() -> None:
    """Serve until told to stop, then write what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("model")
    parser.add_argument("--port", type=int)
    parser.add_argument("--log-level")
    parser.add_argument("--log-format")
    options = vars(parser.parse_args())
    path = options.pop("record")
    record = Record()
    record.watch_steps()
    settings = load_settings(**options, speculation="off")  # so that steps are alike
    serve(settings, on_ready=lambda _url, _engine: record.watch_loop())
    path.write_text(json.dumps(record.as_json()), encoding="utf-8")


if __name__ == "__main__":
    main()
