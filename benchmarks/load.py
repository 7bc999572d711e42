"""Many clients at once, a third of whom hang up: no error, no leak.

    python -m benchmarks.load                          # starts a server with the embedded model
    python -m benchmarks.load --clients 64 --seconds 60 --url http://127.0.0.1:8000

Prints throughput, time to first token and between tokens, and what was answered. Ends with status 1
if anything but 200 and 429 was answered, if a stream broke, if the server still held blocks of the
KV cache when all had left, or if its memory grew over the last quarter of the run by more than 3 %.
"""

import argparse
import asyncio
import contextlib
import json
import random
import re
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

import httpx
import psutil

from benchmarks.common.arithmetic import percentile
from benchmarks.common.server import running_server

NAMES = ("Max", "Lily", "Tom", "Bella", "Sam", "Mia", "Finn", "Zoe")
HEROES = ("dog", "cat", "rabbit", "dragon", "girl", "boy", "bear", "little bird")
MEMORY_GROWTH_LIMIT = 0.03


@dataclass(slots=True)
class Tally:
    """What the clients saw."""

    statuses: Counter[int] = field(default_factory=Counter)
    hung_up: int = 0
    tokens: int = 0
    first_token_seconds: list[float] = field(default_factory=list)
    between_token_seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def main() -> int:
    """Run the load and report."""
    options = parse()
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(running_server()).url
        process = find_process(url)
        tally = Tally()
        memory = asyncio.run(load(url, options, tally, process))
        held = asyncio.run(blocks_held_when_idle(url))
    return report(options, tally, memory, held)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", help="a running server; without it one is started")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument(
        "--hang-up", type=float, default=1 / 3, help="share of requests left midway"
    )
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def find_process(url: str) -> psutil.Process | None:
    """The process that listens there, if it is ours to see."""
    port = httpx.URL(url).port
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    return None


async def load(
    url: str, options: argparse.Namespace, tally: Tally, process: psutil.Process | None
) -> list[int]:
    """Let the clients run; return the server's resident bytes, once a second."""
    deadline = time.monotonic() + options.seconds
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=options.clients)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as http:
        rng = random.Random(options.seed)
        clients = [
            asyncio.create_task(client(http, random.Random(rng.random()), deadline, options, tally))
            for _ in range(options.clients)
        ]
        memory = []
        while time.monotonic() < deadline:
            if process:
                memory.append(process.memory_info().rss)
            await asyncio.sleep(1)
        await asyncio.gather(*clients)
    return memory


async def client(
    http: httpx.AsyncClient,
    rng: random.Random,
    deadline: float,
    options: argparse.Namespace,
    tally: Tally,
) -> None:
    while time.monotonic() < deadline:
        patience = rng.randint(0, 30) if rng.random() < options.hang_up else None
        try:
            wait = await ask(http, rng, patience, tally)
        except httpx.HTTPError as error:
            tally.problems.append(repr(error))
            wait = 0.1
        await asyncio.sleep(wait)


async def ask(
    http: httpx.AsyncClient, rng: random.Random, patience: int | None, tally: Tally
) -> float:
    """Ask for one story; return how long to wait before the next. Leave after `patience` chunks."""
    hero, name = rng.choice(HEROES), rng.choice(NAMES)
    body = {
        "model": "tercet-tiny",
        "messages": [{"role": "user", "content": f"Tell me a story about a {hero} named {name}."}],
        "max_tokens": rng.randint(8, 160),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start = last = time.monotonic()
    async with http.stream("POST", "/v1/chat/completions", json=body) as response:
        tally.statuses[response.status_code] += 1
        if response.status_code != 200:
            await response.aread()
            if response.status_code == 429:
                return min(1.0, float(response.headers["retry-after"]))
            tally.problems.append(f"{response.status_code}: {response.text[:200]}")
            return 0.1
        num_chunks = 0
        finished = False
        async for line in response.aiter_lines():
            if not line.startswith("data: "):
                continue
            if line == "data: [DONE]":
                finished = True
                break
            chunk = json.loads(line.removeprefix("data: "))
            if "error" in chunk:
                tally.problems.append(f"in a stream: {chunk['error']}")
                return 0.1
            if usage := chunk.get("usage"):
                tally.tokens += usage["completion_tokens"]
            if not any(choice["delta"].get("content") for choice in chunk["choices"]):
                continue
            now = time.monotonic()
            times = tally.between_token_seconds if num_chunks else tally.first_token_seconds
            times.append(now - (last if num_chunks else start))
            num_chunks, last = num_chunks + 1, now
            if patience is not None and num_chunks > patience:
                tally.hung_up += 1
                return 0  # leaving the block closes the connection
        if not finished:
            tally.problems.append("a stream ended without [DONE]")
    return 0


async def blocks_held_when_idle(url: str) -> float:
    """Blocks that the server still holds some seconds after the last client has left."""
    held = float("nan")
    async with httpx.AsyncClient(base_url=url) as http:
        for _ in range(50):
            text = (await http.get("/metrics")).text
            found = re.search(r"^tercet_kv_cache_blocks_used(?:\{.*\})? (\S+)$", text, re.MULTILINE)
            held = float(found[1]) if found else float("nan")
            if held == 0:
                break
            await asyncio.sleep(0.1)
    return held


def growth(memory: list[int]) -> float:
    """By what share the median of the last quarter exceeds that of the third.

    The allocator's own pools fill during the first half and more slowly after it.
    """
    if len(memory) < 8:
        return 0.0
    quarter = len(memory) // 4
    before = statistics.median(memory[-2 * quarter : -quarter])
    return statistics.median(memory[-quarter:]) / before - 1


def report(options: argparse.Namespace, tally: Tally, memory: list[int], held: float) -> int:
    first, between = tally.first_token_seconds, tally.between_token_seconds
    grown = growth(memory)
    print(
        f"clients          {options.clients} for {options.seconds:.0f} s, {tally.hung_up} hung up"
    )
    print(f"answers          {dict(sorted(tally.statuses.items()))}")
    print(f"tokens           {tally.tokens / options.seconds:.0f} per second, of finished streams")
    for name, values in (("first token", first), ("between tokens", between)):
        low, high = percentile(values, 0.5), percentile(values, 0.99)
        print(f"{name:<16} p50 {low * 1e3:.0f} ms, p99 {high * 1e3:.0f} ms")
    if memory:
        print(f"memory           {memory[-1] / 1e6:.0f} MB, {grown:+.1%} over the last quarter")
    print(f"blocks held      {held:.0f} when idle")
    for problem, count in Counter(tally.problems).most_common(10):
        print(f"problem          {count} × {problem}")
    failed = tally.problems or held != 0 or grown > MEMORY_GROWTH_LIMIT
    print("failed" if failed else "passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
