"""Ten times more than the server can do: does it still do what it can, and say the truth?

    python -m benchmarks.overload --seconds 30                   # the embedded model on loopback
    python -m benchmarks.overload --seconds 30 --queue-timeout 4 --times 10

First as many clients as there are places keep the server full: that is its peak. Then requests
arrive at so many times that rate, whether or not it keeps up. Then the peak is measured once more,
for what else a host does changes, and the mean of both counts. Prints goodput beside the peak, the
time to the first token of those who were accepted, the share that was sent away, and how
Retry-After compares with the time in which the line then waiting was really served. Ends with
status 1 if goodput is under 90 % of the peak, the 99th percentile of the first token is beyond
--queue-timeout, the median hint is wrong by more than a factor of two, or anything but 200 and 429
was answered.
"""

import argparse
import asyncio
import contextlib
import math
import os
import random
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from benchmarks.common.arithmetic import Percentiles, percentile, poisson_arrivals
from benchmarks.common.lean_client import LeanClient
from benchmarks.common.server import running_server

_SAMPLE_SECONDS = 0.2
_MIN_GOODPUT = 0.9
_FACTOR = 2.0


@dataclass(slots=True)
class Asked:
    """One request: when it was due and when things happened, in seconds of one clock."""

    due: float
    status: int = 0
    answered: float = 0.0
    first_token: float = 0.0
    done: float = 0.0
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at /metrics: requests in line, and those that had their first token by then."""

    at: float
    num_waiting: float
    num_started: float


@dataclass(slots=True)
class Load:
    """What was asked in one phase, and the looks taken meanwhile."""

    begun: float
    ended: float
    asked: list[Asked] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    client_cpu_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        """How long requests came."""
        return self.ended - self.begun

    @property
    def goodput(self) -> float:
        """Whole answers a second, of those that ended while requests came."""
        done = [one for one in self.asked if self.begun < one.done <= self.ended]
        return len(done) / self.seconds


def main() -> int:
    """Run both phases and report."""
    options = parse()
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(running_server(server_arguments(options))).url
        peaks, overload = asyncio.run(run(url, options))
    return report(options, peaks, overload)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="a running server; without it one is started")
    parser.add_argument("--seconds", type=float, default=30, help="of overload; the peak: half")
    parser.add_argument("--times", type=float, default=10, help="the peak, arriving")
    parser.add_argument("--queue-timeout", type=float, default=4, help="of the server")
    parser.add_argument("--places", type=int, default=16, help="sequences computed together")
    parser.add_argument("--threads", type=int, default=1, help="of the server; clients need some")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--answer-tokens", type=int, default=128, help="on average")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def server_arguments(options: argparse.Namespace) -> list[str]:
    return [
        *("--queue-timeout", str(options.queue_timeout), "--threads", str(options.threads)),
        *("--max-sequences", str(options.places), "--no-prefix-cache", "--speculation", "off"),
        *("--max-waiting-requests", "4096", "--max-concurrent-requests", "8192"),
    ]


async def run(url: str, options: argparse.Namespace) -> tuple[list[float], Load]:
    address = httpx.URL(url)
    async with LeanClient(address.host, address.port or 80) as http:
        draw = random.Random(options.seed)
        print("peak: every place taken", file=sys.stderr, flush=True)
        peak = await at_peak(http, options, draw, options.seconds / 2)
        rate = peak.goodput * options.times
        print(f"overload: {rate:.0f} requests a second", file=sys.stderr, flush=True)
        overload = await overloaded(http, url, options, draw, rate)
        print("peak again", file=sys.stderr, flush=True)
        after = await at_peak(http, options, draw, options.seconds / 2)
        return [peak.goodput, after.goodput], overload


async def at_peak(
    http: LeanClient, options: argparse.Namespace, draw: random.Random, seconds: float
) -> Load:
    """As many clients as places, and a few so that none is ever empty."""
    begun = time.perf_counter() + seconds / 5  # by then the first answers are out of step
    load = Load(begun, begun + seconds)

    async def client() -> None:
        while time.perf_counter() < load.ended:
            load.asked.append(one := Asked(time.perf_counter()))
            await ask(http, body_of(options, draw), one)

    await asyncio.gather(*(client() for _ in range(options.places + options.places // 4)))
    return load


async def overloaded(
    http: LeanClient, url: str, options: argparse.Namespace, draw: random.Random, rate: float
) -> Load:
    begun, cpu_begun = time.perf_counter(), time.process_time()
    load = Load(begun, begun + options.seconds)
    watch = asyncio.create_task(look_on(url, load, options.prompt_tokens))
    tasks = []
    for due in poisson_arrivals(rate, options.seconds, options.seed):
        await asyncio.sleep(max(0.0, begun + due - time.perf_counter()))
        load.asked.append(one := Asked(begun + due))
        tasks.append(asyncio.create_task(ask(http, body_of(options, draw), one)))
    load.client_cpu_seconds = time.process_time() - cpu_begun
    await asyncio.gather(*tasks)
    watch.cancel()
    # The first answers come when the first places are free again: what is before is no steady load.
    load.begun += options.seconds / 5
    return load


def body_of(options: argparse.Namespace, draw: random.Random) -> dict[str, object]:
    return {
        "prompt": draw.choices(range(4000), k=options.prompt_tokens),
        # Of one length they would all end at once, and places would come free in waves.
        "max_tokens": draw.randint(options.answer_tokens // 2, options.answer_tokens * 3 // 2),
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
    }


async def ask(http: LeanClient, body: dict[str, object], one: Asked) -> None:
    reply = await http.post("/v1/completions", body)
    one.answered = time.perf_counter()
    if reply.status == 429:
        one.retry_after = float(reply.headers["retry-after-ms"]) / 1000
    last = b""
    async for piece in reply.pieces:
        if reply.status == 200 and not one.first_token and b'"text"' in piece:
            one.first_token = time.perf_counter()
        last = (last + piece)[-64:]
    one.status = reply.status
    if b"data: [DONE]" in last:
        one.done = time.perf_counter()


async def look_on(url: str, load: Load, num_prompt_tokens: int) -> None:
    """Look at the line again and again."""
    names = ("tercet_waiting_tokens", "tercet_time_to_first_token_seconds_count")
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as http:
        while True:
            text = (await http.get("/metrics")).text
            found = [re.search(rf"^{name}{{.*}} (\S+)$", text, re.MULTILINE) for name in names]
            waiting, started = (float(match[1]) if match else math.nan for match in found)
            load.samples.append(Sample(time.perf_counter(), waiting / num_prompt_tokens, started))
            await asyncio.sleep(_SAMPLE_SECONDS)


def drain_seconds(samples: Sequence[Sample], at: float) -> float | None:
    """How long it really took until those were served who waited at that time.

    None: nobody waited, or it was not seen to its end.
    """
    begin = next((index for index, sample in enumerate(samples) if sample.at >= at), None)
    if begin is None or not samples[begin].num_waiting:
        return None
    first = samples[begin]
    goal = first.num_started + first.num_waiting
    for before, after in zip(samples[begin:], samples[begin + 1 :], strict=False):
        if after.num_started >= goal:
            gained = after.num_started - before.num_started
            share = (goal - before.num_started) / gained if gained else 1.0
            return before.at + share * (after.at - before.at) - first.at
    return None


def hint_ratios(load: Load) -> list[float]:
    """Of each hint while the load was steady: how many times the true time it was."""
    ratios = []
    for one in load.asked:
        if one.status == 429 and load.begun < one.answered < load.ended:
            seconds = drain_seconds(load.samples, one.answered)
            if seconds:
                ratios.append(one.retry_after / seconds)
    return ratios


def report(options: argparse.Namespace, peaks: Sequence[float], overload: Load) -> int:
    statuses = Counter(one.status for one in overload.asked)
    accepted = [one for one in overload.asked if one.status == 200]
    first = Percentiles.of([one.first_token - one.due for one in accepted])
    refused = [one.answered - one.due for one in overload.asked if one.status == 429]
    ratios = hint_ratios(overload)
    near = sum(1 / _FACTOR <= ratio <= _FACTOR for ratio in ratios) / max(1, len(ratios))
    peak = statistics.mean(peaks)
    goodput = overload.goodput / peak
    print(
        f"peak             {peak:.2f} whole answers a second "
        f"({peaks[0]:.2f} before, {peaks[1]:.2f} after)"
    )
    print(
        f"arrivals         {len(overload.asked) / options.seconds:.1f} a second, "
        f"{options.times:g} times as many"
    )
    print(f"goodput          {overload.goodput:.2f} a second, {goodput:.0%} of the peak")
    clients = overload.client_cpu_seconds / options.seconds
    print(f"clients          took {clients:.2f} CPUs of this host's {os.cpu_count()} meanwhile")
    print(
        f"first token      p50 {first.p50:.2f} s, p90 {first.p90:.2f} s, p99 {first.p99:.2f} s of "
        f"{len(accepted)} accepted; --queue-timeout {options.queue_timeout:g} s"
    )
    print(f"sent away        {statuses[429] / max(1, len(overload.asked)):.0%} (429)")
    print(
        f"told so after    p50 {percentile(refused, 0.5) * 1e3:.0f} ms, "
        f"p99 {percentile(refused, 0.99) * 1e3:.0f} ms"
    )
    low, middle, high = (percentile(ratios, share) for share in (0.1, 0.5, 0.9))
    print(
        f"Retry-After      {middle:.2f} times the true time of the line (p10 {low:.2f}, p90 "
        f"{high:.2f}); {near:.0%} of {len(ratios)} within a factor of {_FACTOR:g}"
    )
    problems = []
    if goodput < _MIN_GOODPUT:
        problems.append(f"goodput is under {_MIN_GOODPUT:.0%} of the peak")
    if not first.p99 <= options.queue_timeout:
        problems.append("the first token comes later than promised")
    if not 1 / _FACTOR <= middle <= _FACTOR:
        problems.append("Retry-After is wrong by more than a factor of two")
    if others := {status: count for status, count in statuses.items() if status not in {200, 429}}:
        problems.append(f"answers that should not be: {others}")
    print("\n".join(f"problem          {problem}" for problem in problems) or "passed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
