"""Runs that never were: what a sound server looks like for half an hour, to be spoilt by tests."""

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from benchmarks.soak.sample import Sample
from benchmarks.soak.verdict import Run

SECONDS = 1800
BOUNDS = (0.01, 0.1, 0.25, 1.0, 2.5, float("inf"))


def sample(at: float, **changes: Any) -> Sample:
    """The server at one time: four looks at its loop each second, all in time."""
    usual = Sample(
        at=at,
        rss=180_000_000,
        parts={},
        threads=8,
        descriptors=64,
        sockets=46,
        cpu=0.9 * at,
        store=9_000_000,
        blocks=200,
        all_blocks=512,
        running=16,
        waiting=20,
        in_flight=37,
        steps=50 * at,
        lags=dict.fromkeys(BOUNDS, 4 * at),
        health=0.01,
        fresh=0.02,
        own_lag=0.0,
        kinds={"chat": int(9 * at)},
        statuses={200: int(9 * at)},
        told={200: int(9 * at)},
    )
    return replace(usual, **changes)


def at_rest(at: float, **changes: Any) -> Sample:
    return sample(
        at, blocks=0, running=0, waiting=0, in_flight=1, descriptors=18, sockets=2, **changes
    )


def noisy_memory(seconds: int = SECONDS, leak_a_minute: float = 0.0) -> list[int]:
    """Half a megabyte of noise, bursts that are given back, and what is not."""
    draw = random.Random(5)
    values, burst = [], 0.0
    for second in range(seconds):
        burst = 4e6 if draw.random() < 0.01 else burst * 0.97
        leaked = leak_a_minute * second / 60
        values.append(int(180e6 + draw.gauss(0, 0.5e6) + burst + leaked))
    return values


def sound_run(seconds: int = SECONDS, leak_a_minute: float = 0.0) -> Run:
    run = Run(
        samples=[
            sample(float(second), rss=rss)
            for second, rss in enumerate(noisy_memory(seconds, leak_a_minute))
        ],
        before=at_rest(0.0),
        after=at_rest(float(seconds)),
        idle_cpu=0.005,
        ended=Counter(SIGTERM=20, SIGKILL=19),
        found=300,
        status=0,
    )
    run.tally.statuses.update({200: 9 * seconds, 429: 5 * seconds, 499: seconds, 400: 70})
    run.tally.seeded = 400
    run.seeded.first = {"chat": "[]", "greedy": "[]"}
    return run
