"""Was the run sound? Each criterion in words, with what was found.

The host is shared and its clock moves, so nothing here is a speed: limits are such as a sound
server keeps on a busy host, and a leak does not.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks.common.arithmetic import percentile
from benchmarks.soak.sample import Sample, lag_below, late_share
from benchmarks.soak.seeded import Seeded
from benchmarks.soak.server import STORE_BYTES
from benchmarks.soak.slope import robust_slope
from benchmarks.soak.tally import Tally

WARM_UP_SHARE: Final = 0.5
"""Of the run. What is bounded fills meanwhile, ever more slowly: the tokenizer's cache of words,
compiled grammars, kept responses, the allocator's arenas."""
_MIN_JUDGED_SECONDS: Final = 240.0
_MAX_GROWTH: Final = 6e6
"""Bytes an hour that a slope may have though it is not zero within its interval."""
_MAX_STEP_SECONDS: Final = 20.0
_MAX_LAG_SECONDS: Final = 0.25
"""Of the server's own time: where it gets half a CPU, it may be late twice as long."""
_LEAST_CPUS: Final = 0.1
_TIMES_THE_HARNESS: Final = 2.0
"""Where the host is busy, the harness's own loop is late too, though it has less to do."""
_VERY_LATE_SECONDS: Final = 2.5
_MAX_IDLE_CPU: Final = 0.1
_MAX_EXTRA_DESCRIPTORS: Final = 2
_WORKERS: Final = (os.cpu_count() or 1) + 4
"""Threads that the event loop and others begin only when they are first needed."""
_STORE_LIMIT: Final = 4 * STORE_BYTES
"""The store counts texts; here are files, with indices, free pages and a journal."""


@dataclass(slots=True)
class Run:
    """What a run has seen.

    Attributes:
        samples: while there was traffic.
        before: the server at rest, after a rehearsal of the same traffic; None: it was not reached.
        after: at rest in the end.
        idle_cpu: share of one CPU that it used at rest in the end.
        tally: of all clients.
        seeded: answers that must not change.
        ended: how often the second server was ended, by signal.
        found: how many of its responses were found again in a later life.
        complaints: of the servers' logs.
        status: with which the watched server ended; None: it was not reached.
    """

    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    idle_cpu: float = 0.0
    tally: Tally = field(default_factory=Tally)
    seeded: Seeded = field(default_factory=Seeded)
    ended: Counter[str] = field(default_factory=Counter)
    found: int = 0
    complaints: list[str] = field(default_factory=list)
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one criterion found."""

    name: str
    is_sound: bool
    words: str


def judge(run: Run) -> list[Finding]:
    """By every criterion."""
    return [Finding(name, *criterion(run)) for name, criterion in _CRITERIA.items()]


def warm(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Those after the warm-up."""
    if not samples:
        return []
    begin, end = samples[0].at, samples[-1].at
    return [one for one in samples if one.at >= begin + WARM_UP_SHARE * (end - begin)]


_Judged = tuple[bool, str]


def _answers(run: Run) -> _Judged:
    tally = run.tally
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(tally.statuses.items()))
    problems = [f"{count} × {words}" for words, count in tally.problems.most_common(12)]
    wrong = {status: count for status, count in _told(run).items() if status >= 500 and count}
    if wrong:
        problems.append(f"the server itself counted {wrong}")
    words = f"{sum(tally.statuses.values())} requests: {statuses}"
    return not problems, "\n    ".join([words, *problems])


def _memory(run: Run) -> _Judged:
    samples = warm(run.samples)
    slope = robust_slope([one.at for one in samples], [one.rss for one in samples])
    if slope is None or samples[-1].at - samples[0].at < _MIN_JUDGED_SECONDS:
        rss = f"{samples[-1].rss / 1e6:.0f} MB" if samples else "nothing seen"
        return True, f"{rss}; too short a run to tell a trend from noise"
    value, low, high = (3600 * part for part in (slope.value, slope.low, slope.high))
    words = (
        f"{samples[0].rss / 1e6:.0f} MB after the warm-up, {samples[-1].rss / 1e6:.0f} MB at the "
        f"end; slope {value / 1e6:+.1f} MB/h, 95 % between {low / 1e6:+.1f} and {high / 1e6:+.1f}; "
        f"wrong if all of that is above 0 and the slope above {_MAX_GROWTH / 1e6:g} MB/h"
    )
    return not (low > 0 and value > _MAX_GROWTH), words


def _blocks(run: Run) -> _Judged:
    after = run.after
    if after is None:
        return False, "the end was not reached"
    held = (after.blocks, after.running, after.waiting, after.in_flight - 1)
    words = (
        f"at rest {held[0]:.0f} of {after.all_blocks:.0f} blocks are held, {held[1]:.0f} "
        f"completions run, {held[2]:.0f} wait, {held[3]:.0f} requests are in flight; most held: "
        f"{max((one.blocks for one in run.samples), default=0):.0f}"
    )
    return not any(held), words


def _files_and_threads(run: Run) -> _Judged:
    before, after = run.before, run.after
    if before is None or after is None:
        return False, "the end was not reached"
    more = after.descriptors - before.descriptors
    words = (
        f"at rest {before.descriptors} descriptors and {before.threads} threads before, "
        f"{after.descriptors} and {after.threads} after; at most "
        f"{max((one.descriptors for one in run.samples), default=0)} and "
        f"{max((one.threads for one in run.samples), default=0)}"
    )
    is_sound = more <= _MAX_EXTRA_DESCRIPTORS and after.threads <= before.threads + _WORKERS
    return is_sound and not late_threads(run.samples), words


def late_threads(samples: Sequence[Sample]) -> int:
    """Threads that came in the last third of a run, when every worker was needed before."""
    if not samples or samples[-1].at - samples[0].at < _MIN_JUDGED_SECONDS:
        return 0
    late = samples[0].at + (samples[-1].at - samples[0].at) * 2 / 3
    most = [
        max(one.threads for one in samples if (one.at > late) is is_late)
        for is_late in (False, True)
    ]
    return max(0, most[1] - most[0])


def _loop(run: Run) -> _Judged:
    samples = warm(run.samples)
    if len(samples) < 2:
        return False, "nothing was seen"
    usual = lag_below(samples[0], samples[-1], 0.99)
    here = percentile([one.own_lag for one in samples], 0.99)
    cpus = (samples[-1].cpu - samples[0].cpu) / (samples[-1].at - samples[0].at)
    allowed = max(_MAX_LAG_SECONDS / min(1.0, max(cpus, _LEAST_CPUS)), _TIMES_THE_HARNESS * here)
    words = (
        f"late by at most {usual * 1e3:g} ms in 99 % of the looks, the harness by "
        f"{here * 1e3:.0f} ms; with the {cpus:.2f} CPUs that it got, wrong beyond "
        f"{allowed * 1e3:.0f} ms; later than "
        f"{_VERY_LATE_SECONDS:g} s in {late_share(samples[0], samples[-1], _VERY_LATE_SECONDS):.2%}"
        f"; /health took {_usual_and_most([one.health for one in samples])}, on new connections "
        f"{_usual_and_most([one.fresh for one in samples])}"
    )
    return usual <= allowed, words


def _usual_and_most(seconds: Sequence[float]) -> str:
    return f"{percentile(seconds, 0.5) * 1e3:.0f} ms (at most {max(seconds) * 1e3:.0f} ms)"


def _steps(run: Run) -> _Judged:
    longest = longest_standstill(run.samples)
    words = f"the longest time without a step though there was work: {longest:.0f} s"
    return longest <= _MAX_STEP_SECONDS, words


def longest_standstill(samples: Sequence[Sample]) -> float:
    """Seconds in which completions were there and no batch was computed."""
    longest, since = 0.0, None
    for before, after in itertools.pairwise(samples):
        if after.steps == before.steps and after.running + after.waiting > 0:
            since = before.at if since is None else since
            longest = max(longest, after.at - since)
        else:
            since = None
    return longest


def _rest(run: Run) -> _Judged:
    return run.idle_cpu <= _MAX_IDLE_CPU, f"at rest it uses {run.idle_cpu:.1%} of a CPU"


def _seeded(run: Run) -> _Judged:
    words = f"{run.tally.seeded} answers to {len(run.seeded.first)} requests"
    enough = run.tally.seeded > len(run.seeded.first)
    return enough and not run.seeded.differences, "\n    ".join([words, *run.seeded.differences])


def _store(run: Run) -> _Judged:
    most = max((one.store for one in run.samples), default=0)
    words = f"at most {most / 1e6:.1f} MB on disk, where {STORE_BYTES / 1e6:.1f} MB of texts may be"
    return most <= _STORE_LIMIT, words


def _lives(run: Run) -> _Judged:
    if not run.ended:
        return True, "no second server was restarted"
    ends = ", ".join(f"{count} × {name}" for name, count in sorted(run.ended.items()))
    is_sound = run.found > 0 or sum(run.ended.values()) < 2
    return is_sound, f"ended {ends}; {run.found} times a response was found in a later life"


def _log(run: Run) -> _Judged:
    lines = "\n    ".join(run.complaints[:12])
    return not run.complaints, f"{len(run.complaints)} errors{':' if lines else ''} {lines}".strip()


def _end(run: Run) -> _Judged:
    return run.status == 0, f"it ended with status {run.status}"


def _told(run: Run) -> dict[int, float]:
    """What the server counted since it was at rest before; while it loaded, /ready had to fail."""
    last = run.after or (run.samples[-1] if run.samples else None)
    if last is None or run.before is None:
        return {}
    earlier = run.before.told
    return {status: count - earlier.get(status, 0) for status, count in last.told.items()}


_CRITERIA: Final[dict[str, Callable[[Run], _Judged]]] = {
    "answers": _answers,
    "memory": _memory,
    "KV cache": _blocks,
    "files, threads": _files_and_threads,
    "event loop": _loop,
    "engine": _steps,
    "rest": _rest,
    "seeded answers": _seeded,
    "store": _store,
    "restarts": _lives,
    "logs": _log,
    "end": _end,
}


def told_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """The verdict as it is printed."""
    for one in findings:
        yield f"{'ok   ' if one.is_sound else 'WRONG'} {one.name:<15} {one.words}"
    wrong = [one.name for one in findings if not one.is_sound]
    yield f"failed: {', '.join(wrong)}" if wrong else "passed"
