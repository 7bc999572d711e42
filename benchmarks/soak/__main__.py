"""Soak a server: 45 minutes of everything that clients do; then a verdict and a picture.

    python -m benchmarks.soak                              # the embedded model, 45 minutes
    python -m benchmarks.soak --minutes 3 --results build  # a short one; its picture elsewhere
    python -m benchmarks.soak --model ORG/NAME -- --context 4096   # flags of `tercet serve`

Starts `tercet serve` on loopback, keeps it busy and looks at it once a second, while a second,
small server is ended and started again. Ctrl-C ends early, with the verdict so far. The last lines
say each criterion and what was found; status 1 if one does not hold, 0 else. Samples and logs lie
in build/soak/DATE-TIME.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.common.host import ROOT, HostWatch
from benchmarks.report import RESULTS, conditions, file_name
from benchmarks.soak.picture import draw_picture
from benchmarks.soak.progress import Progress
from benchmarks.soak.run import Plan, soak
from benchmarks.soak.verdict import Run, judge, told_lines


def main() -> int:
    """Run it and say what was found."""
    options = parse()
    stamp = datetime.now(UTC).strftime("%Y-%m-%d-%H%M%S")
    folder: Path = options.folder or ROOT / "build" / "soak" / stamp
    folder.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        seconds=options.minutes * 60,
        clients=options.clients,
        restart_seconds=options.restart_every,
        folder=folder,
        model=options.model,
        arguments=tuple(options.arguments),
        seed=options.seed,
    )
    watch = HostWatch()
    run = asyncio.run(_until_interrupted(plan))
    facts = watch.facts()
    findings = judge(run)
    picture = options.results / f"{file_name(facts['cpu'])}-soak.svg"
    if len(run.samples) > 1:
        draw_picture(run, picture)
    print(f"host  {facts['cpu']}; {conditions(facts)}")
    print(f"files {folder}, {picture}")
    lines = list(told_lines(findings))
    print("\n".join(lines))
    (folder / "verdict.txt").write_text("\n".join([json.dumps(facts), *lines]) + "\n")
    return 0 if all(one.is_sound for one in findings) else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=45, help="of traffic (default: 45)")
    parser.add_argument("--clients", type=int, default=48, help="at once (default: 48)")
    parser.add_argument("--model", help="as `tercet serve` takes it; unset: the embedded one")
    parser.add_argument(
        "--restart-every",
        type=float,
        default=45,
        metavar="SECONDS",
        help="of one life of the second server; 0: there is none (default: 45)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of what clients think of")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the picture")
    parser.add_argument(
        "--folder", type=Path, help="for samples and logs, instead of the dated one"
    )
    parser.add_argument("arguments", nargs="*", metavar="-- FLAG", help="of `tercet serve`")
    return parser.parse_args()


async def _until_interrupted(plan: Plan) -> Run:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    progress = Progress(plan.seconds, time.monotonic)
    try:
        return await soak(plan, stop, progress.tell)
    finally:
        progress.end()


if __name__ == "__main__":
    sys.exit(main())
