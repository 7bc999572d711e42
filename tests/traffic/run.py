"""`make test-traffic MINUTES=10`: random traffic over every route, until the time is over.

Each round is made by one seed, which is told where something is wrong; `SEED=7` repeats it alone.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter

import httpx

from tercet_engine import AsyncEngine, EngineConfig, load_engine
from tests.server.conftest import Service, serving
from tests.traffic.checks import faults_of
from tests.traffic.requests import Requests, Sent

TOGETHER = 8


async def play(service: Service, seed: int, num_requests: int, seen: Counter[str]) -> list[str]:
    """Send requests by a seed, some at a time.

    Returns:
        What was wrong, in words.
    """
    document = (await service.client.get("/openapi.json")).json()
    requests = Requests(document, random.Random(seed))
    found: list[str] = []
    for start in range(0, num_requests, TOGETHER):
        batch = [requests.next() for _ in range(min(TOGETHER, num_requests - start))]
        for sent, response in await asyncio.gather(*(send(service, one) for one in batch)):
            seen[f"{sent.template} {response.status_code}"] += 1
            found += [f"seed {seed}: {sent}: {fault}" for fault in faults_of(sent, response)]
            if response.status_code == 200 and sent.path == "/v1/responses" and sent.body:
                requests.ids += ids_in(response)
        if (await service.client.get("/health")).status_code != 200:
            found.append(f"seed {seed}: the server is not well")
    return found


async def send(service: Service, sent: Sent) -> tuple[Sent, httpx.Response]:
    headers = [(name, value.encode("latin-1")) for name, value in sent.headers]
    response = await service.client.request(
        sent.method, sent.path, content=sent.body, headers=headers, params=sent.query or None
    )
    return sent, response


def ids_in(response: httpx.Response) -> list[str]:
    try:
        return [str(response.json()["id"])]
    except ValueError:  # a stream
        return []


async def nothing_is_left(engine: AsyncEngine) -> bool:
    """Whether, a while after the last request, all blocks are free and nobody is computed for."""
    for _ in range(600):
        stats = engine.stats()
        is_idle = stats.num_running + stats.num_waiting == 0
        if is_idle and stats.num_free_blocks == stats.num_blocks:
            return True
        await asyncio.sleep(0.05)
    return False


async def _main(minutes: float, seed: int | None) -> int:
    engine = load_engine(config=EngineConfig(num_threads=1, max_context=512))
    seen: Counter[str] = Counter()
    end = time.monotonic() + minutes * 60
    try:
        async with serving(engine, max_output_tokens=16, request_timeout_seconds=60) as service:
            number = seed or int(time.time())
            while time.monotonic() < end:
                faults = await play(service, number, 200, seen)
                if not await nothing_is_left(engine):
                    faults.append(f"seed {number}: something is left in the engine")
                if "request_failed" in service.log.getvalue():
                    faults.append(service.log.getvalue()[-5000:])
                if faults or seed:
                    print("\n".join(faults) or f"seed {number}: nothing wrong")
                    return bool(faults)
                service.log.seek(0)
                service.log.truncate()
                number += 1
    finally:
        engine.close()
    statuses = Counter[str]()
    for name, count in seen.items():
        statuses[name.rpartition(" ")[2]] += count
    print(f"{seen.total()} requests, nothing wrong; by status: {dict(sorted(statuses.items()))}")
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--seed", type=int)
    given = parser.parse_args()
    sys.exit(asyncio.run(_main(given.minutes, given.seed)))
