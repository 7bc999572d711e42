"""A server of our own on a free port, ended by SIGTERM."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx

_START_SECONDS = 120
_END_SECONDS = 60


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where it listens, and its process."""

    url: str
    pid: int


@contextlib.contextmanager
def running_server(
    arguments: Sequence[str] = (), command: Sequence[str] = ("-m", "tercet_server", "serve")
) -> Iterator[RunningServer]:
    """Start a server, wait until it is ready, and see it end well.

    Args:
        arguments: of `tercet serve`, beside the port.
        command: what Python runs.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = ("--log-level", "error", "--log-format", "json")  # nor is there a banner
    line = [sys.executable, *command, *arguments, "--port", str(port), *quiet]
    with subprocess.Popen(line, stdout=subprocess.DEVNULL) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_until_ready(url, process)
            yield RunningServer(url, process.pid)
        finally:
            process.terminate()
            status = process.wait(timeout=_END_SECONDS)
    if status != 0:
        sys.exit(f"the server ended with status {status}")


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/ready").status_code == 200:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            sys.exit("the server did not start")
        time.sleep(0.1)
