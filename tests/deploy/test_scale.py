"""deploy/scale/haproxy.cfg before three real replicas: who is lost when one dies and one drains."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.deploy.processes import HAPROXY, Replica, balancer
from tests.deploy.streams import many_streams, read_stream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(HAPROXY is None, reason="there is no haproxy; apt install haproxy"),
]

StartReplicas = Callable[[int], list[Replica]]


def test_only_streams_of_a_killed_replica_fail_and_a_draining_one_gets_none(
    start_replicas: StartReplicas, tmp_path: Path
) -> None:
    replicas = start_replicas(3)
    killed, drained, _ = replicas
    killed_at = drain_began = 0.0

    def kill() -> None:
        nonlocal killed_at
        killed_at = time.monotonic()
        killed.signal(signal.SIGKILL)

    def drain() -> None:
        nonlocal drain_began
        drained.signal(signal.SIGTERM)
        drain_began = time.monotonic()

    with balancer(replicas, tmp_path) as url:
        whole = asyncio.run(many_streams(url, 1, 1, {}))[0].text
        began = time.monotonic()
        streams = asyncio.run(many_streams(url, 200, 16, {60: kill, 110: drain}))
        seconds = time.monotonic() - began
        log = (tmp_path / "haproxy.log").read_text()

    failed = [stream for stream in streams if not stream.is_whole]
    late = [stream for stream in streams if stream.started > drain_began]
    by_replica = Counter(stream.replica for stream in streams if stream.is_whole)
    tried_again = sum(" retries=0 " not in line for line in log.splitlines() if " POST " in line)
    print(  # noqa: T201 -- the figures, for `make test-scale`
        f"\n{len(streams)} streams in {seconds:.1f} s; whole: {dict(by_replica)}; "
        f"failed: {len(failed)} ({Counter(stream.status for stream in failed)}); "
        f"begun after the drain: {len(late)}, by {dict(Counter(s.replica for s in late))}; "
        f"tried again: {tried_again}; "
        f"refused by the draining replica: {drained.log().count('shutting_down')}"
    )
    assert drained.exit_code() == 0
    assert by_replica.keys() == {"replica1", "replica2", "replica3"}
    assert all(stream.text == whole for stream in streams if stream.is_whole)
    assert {stream.replica for stream in failed} <= {"replica1", ""}
    # 0: HAProxy hangs up without a word on a connection that it has answered on before.
    assert all(stream.status in {0, 200, 502} for stream in failed)
    assert all(stream.started < killed_at + 0.5 for stream in failed)
    assert 1 <= len(failed) <= 16  # at most what the killed one was computing
    assert len(late) >= 80
    assert {stream.replica for stream in late} == {"replica3"}


def test_a_session_stays_with_its_replica_and_others_go_where_fewest_are(
    start_replicas: StartReplicas, tmp_path: Path
) -> None:
    replicas = start_replicas(3)

    async def ask(url: str) -> tuple[set[str], set[str], set[str]]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:

            async def replicas_of(**changes: object) -> set[str]:
                asked = [read_stream(client, max_tokens=60, **changes) for _ in range(12)]
                return {(await stream).replica for stream in asked}  # one after another

            by_header = await replicas_of(headers={"X-Session-ID": "a"})
            by_body = await replicas_of(prompt_cache_key="b")
            asked = [read_stream(client) for _ in range(6)]
            others = {stream.replica for stream in await asyncio.gather(*asked)}
            return by_header, by_body, others

    with balancer(replicas, tmp_path) as url:
        by_header, by_body, others = asyncio.run(ask(url))

    assert len(by_header) == len(by_body) == 1
    assert others == {"replica1", "replica2", "replica3"}


def test_events_pass_one_by_one(start_replicas: StartReplicas, tmp_path: Path) -> None:
    async def ask(url: str) -> list[float]:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            return (await read_stream(client, max_tokens=1000)).chunk_times

    with balancer(start_replicas(1), tmp_path) as url:
        times = asyncio.run(ask(url))

    # Held back, they would all come at the end.
    assert len({round(moment, 3) for moment in times}) > 20
    assert times[len(times) // 2] - times[0] > 0.2 * (times[-1] - times[0])


def test_a_client_that_leaves_frees_the_engine_behind_the_balancer(
    start_replicas: StartReplicas, tmp_path: Path
) -> None:
    replicas = start_replicas(1)

    with balancer(replicas, tmp_path) as url:
        body = {"prompt": "Once", "max_tokens": 1900, "ignore_eos": True, "n": 8}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{url}/v1/completions", json=body, timeout=0.3)
        deadline = time.monotonic() + 3
        while _metric(replicas[0], "tercet_completions_running") > 0:
            assert time.monotonic() < deadline, "still computing"
            time.sleep(0.02)

    assert _metric(replicas[0], "tercet_completions_aborted_total") == 8


def test_no_replica_is_an_error_in_the_form_that_clients_read(
    start_replicas: StartReplicas, tmp_path: Path
) -> None:
    replicas = start_replicas(1)

    with balancer(replicas, tmp_path) as url:
        replicas[0].end()
        answer = httpx.post(f"{url}/v1/completions", json={"prompt": "Once"}, timeout=30)

    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "no_replica"
    assert answer.headers["retry-after"] == "1"


def _metric(replica: Replica, name: str) -> float:
    lines = httpx.get(f"{replica.url}/metrics").text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(name))
