"""Replicas on a Ray cluster of this one host: streams, cancellation, a replica that dies."""

import asyncio
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tercet_server.settings import InvalidSettings
from tests.deploy.processes import ROOT, free_port
from tests.deploy.streams import many_streams, read_stream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("ray") is None, reason="Ray is not installed: make test-ray"
    ),
]


@dataclass(frozen=True, slots=True)
class Cluster:
    """Ray's processes and the address of its proxy."""

    url: str
    driver: psutil.Process

    def replicas(self) -> list[psutil.Process]:
        return [
            process
            for process in self.driver.children(recursive=True)
            if _title(process).startswith("ray::ServeReplica:tercet")
        ]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    port = free_port()
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "disabled",  # nor does it write a token into the home folder
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(tmp_path_factory.mktemp("ray", numbered=False)),
    }
    with (
        Path(environment["RAY_TMPDIR"], "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.ray_cluster", str(port)],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as driver,
    ):
        assert driver.stdout is not None
        while (line := driver.stdout.readline()) != b"ready\n":
            assert line, Path(log.name).read_text()
        tree = psutil.Process(driver.pid)
        yield Cluster(f"http://127.0.0.1:{port}", tree)
        left = tree.children(recursive=True)
        driver.communicate(timeout=60)
        for process in psutil.wait_procs(left, timeout=10)[1]:
            process.kill()


def test_both_replicas_answer_and_say_the_same(cluster: Cluster) -> None:
    streams = asyncio.run(many_streams(cluster.url, 16, 8, {}))

    assert all(stream.is_whole for stream in streams)
    assert len({stream.text for stream in streams}) == 1
    assert len(cluster.replicas()) == 2
    assert all(_cpu_seconds(replica) > 0.1 for replica in cluster.replicas())


def test_streamed_tokens_arrive_one_by_one(cluster: Cluster) -> None:
    async def ask() -> list[float]:
        async with httpx.AsyncClient(base_url=cluster.url, timeout=60) as client:
            return (await read_stream(client, max_tokens=1000)).chunk_times

    times = asyncio.run(ask())

    # Held back, they would all come at the end.
    assert len({round(moment, 3) for moment in times}) > 20
    assert times[len(times) // 2] - times[0] > 0.2 * (times[-1] - times[0])


@pytest.mark.parametrize("stream", [True, False], ids=["a stream", "a whole answer"])
def test_a_client_that_leaves_frees_the_engine(cluster: Cluster, stream: bool) -> None:
    # Work of minutes. Metrics would not tell: Ray lets the idle replica answer for them.
    body = {"prompt": ["Once"] * 4, "max_tokens": 1900, "ignore_eos": True, "n": 16}

    with httpx.Client(base_url=cluster.url, timeout=httpx.Timeout(60, read=2)) as client:
        if stream:
            with client.stream(
                "POST", "/v1/completions", json={**body, "stream": True}
            ) as response:
                lines = response.iter_lines()  # which hangs up when it is let go
                next(lines)
                assert _cpu_use(cluster) > 0.2
        else:
            with pytest.raises(httpx.ReadTimeout):
                client.post("/v1/completions", json=body)

    _until(lambda: _cpu_use(cluster) < 0.15, seconds=5)


def test_an_error_is_told_as_tercet_tells_it(cluster: Cluster) -> None:
    answer = httpx.post(f"{cluster.url}/v1/chat/completions", json={"messages": 3}, timeout=30)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages"


def test_when_a_replica_dies_the_other_serves_and_ray_makes_a_new_one(cluster: Cluster) -> None:
    killed = cluster.replicas()[0]
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    body = {"prompt": "Once", "max_tokens": 5}

    statuses = [_status(f"{cluster.url}/v1/completions", body) for _ in range(20)]
    print(f"\nafter the kill: {statuses}")  # noqa: T201 -- the figures, for `make test-ray`

    assert statuses.count(200) >= 18
    assert statuses[-10:] == [200] * 10
    _until(lambda: len(cluster.replicas()) == 2, seconds=90)


def _status(url: str, body: dict[str, object]) -> int:
    return httpx.post(url, json=body, timeout=60).status_code


def _cpu_use(cluster: Cluster) -> float:
    """How many CPUs the replicas use."""
    replicas = cluster.replicas()
    before = sum(map(_cpu_seconds, replicas))
    time.sleep(0.5)
    return (sum(map(_cpu_seconds, replicas)) - before) / 0.5


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


def test_the_config_file_is_one_that_ray_takes() -> None:
    yaml = pytest.importorskip("yaml")
    schema = pytest.importorskip("ray.serve.schema")
    config = yaml.safe_load((ROOT / "deploy/ray/config.yaml").read_text())

    application = schema.ServeDeploySchema.model_validate(config).applications[0]

    assert application.import_path == "tercet_server.ray_serve:build"
    assert ray_serve().Arguments(**application.args).threads == 4


def test_a_wrong_setting_is_told_before_anything_is_deployed() -> None:
    arguments = ray_serve().Arguments(settings={"batch_tokens": 0})

    with pytest.raises(InvalidSettings, match="batch-tokens"):
        ray_serve().build(arguments)


def ray_serve() -> Any:
    """Not at the top: it needs Ray."""
    return importlib.import_module("tercet_server.ray_serve")
