"""Replicas and what stands before them, as processes on the loopback."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
HAPROXY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
_START_SECONDS = 60.0


class Replica:
    """`tercet serve` with the embedded model, on one thread."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tercet_server", "serve", "--threads", "1"),
                    *("--port", str(self.port), "--log-format", "json"),
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        wait_until_ready(self.url, self._process)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self, timeout: float = 30) -> int:
        return self._process.wait(timeout)

    def log(self) -> str:
        return self._log.read_text()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < deadline, f"not ready after {_START_SECONDS} s"
        time.sleep(0.05)


@contextlib.contextmanager
def balancer(replicas: Sequence[Replica], folder: Path) -> Iterator[str]:
    """HAProxy with deploy/scale/haproxy.cfg, in which only the servers' addresses are replaced."""
    assert HAPROXY is not None
    servers = "\n".join(
        f"  server replica{number} 127.0.0.1:{replica.port}"
        for number, replica in enumerate(replicas, 1)
    )
    config, count = re.subn(
        r"^  server-template .*$",
        servers,
        (ROOT / "deploy/scale/haproxy.cfg").read_text(),
        flags=re.MULTILINE,
    )
    assert count == 1
    path = folder / "haproxy.cfg"
    path.write_text(config)
    port = free_port()
    environment = {
        **os.environ,
        "TERCET_BIND": f"127.0.0.1:{port}",
        "TERCET_METRICS_BIND": f"127.0.0.1:{free_port()}",
    }
    with (folder / "haproxy.log").open("wb") as log:
        process = subprocess.Popen(
            [HAPROXY, "-db", "-f", str(path)], env=environment, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)
