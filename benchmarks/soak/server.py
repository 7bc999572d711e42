"""The server that is soaked: `tercet serve` with small bounds, so that all of them are reached.

It can be ended and started again at the same port with the same files. Its log is kept whole.
"""

import asyncio
import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from benchmarks.soak.wire import KEY, LIMITED_KEY, Connection

STORE_BYTES: Final = 16 * 2**20
_START_SECONDS: Final = 180.0
_END_SECONDS: Final = 60.0
_LIMITS: Final = "requests_per_minute = 30\ntokens_per_minute = 3000\nconcurrency = 2\n"
_COMMON_FLAGS: Final = (
    *("--max-sequences", "16", "--max-waiting-requests", "32", "--stalled-client-seconds", "5"),
    *("--max-concurrent-requests", "128", "--store-responses", "500"),
    *("--store-bytes", str(STORE_BYTES), "--request-timeout-seconds", "100"),
    *("--log-format", "json"),
)
_EMBEDDED_FLAGS: Final = ("--kv-cache-bytes", "10MiB")
"""A part of what its 16 streams would like to have, so that some are set back."""


class SoakedServer:
    """A process of `tercet serve` on loopback.

    Args:
        folder: for its store, keys and log.
        name: of these files.
        model: None: the embedded one.
        arguments: further flags of `tercet serve`.
    """

    def __init__(self, folder: Path, name: str, model: str | None, *arguments: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.log = folder / f"{name}.log"
        self.store = folder / f"{name}.db"
        self._keys = folder / f"{name}-keys.toml"
        self.write_keys(0)
        self._command = [
            *(sys.executable, "-m", "tercet_server", "serve", *([model] if model else [])),
            *("--port", str(self.port), "--store-path", str(self.store)),
            *("--api-keys-file", str(self._keys), *_COMMON_FLAGS),
            *(() if model else _EMBEDDED_FLAGS),
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def write_keys(self, generation: int) -> None:
        """A file of keys, another one each time; it counts from SIGHUP on."""
        entries = [("soak", KEY, ""), ("limited", LIMITED_KEY, _LIMITS)]
        entries += [
            (f"guest-{generation}-{index}", f"sk-{generation}-{index}", _LIMITS)
            for index in range(generation % 20)
        ]
        self._keys.write_text("".join(_entry(*entry) for entry in entries), encoding="utf-8")

    def reload_keys(self, generation: int) -> None:
        """Have it read other keys."""
        self.write_keys(generation)
        self.send(signal.SIGHUP)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            RuntimeError: it is not.
        """
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 -- it takes milliseconds
                self._command,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,  # a Ctrl-C is ours to pass on
            )
        deadline = time.monotonic() + _START_SECONDS
        while not await self._is_ready():
            if self.has_ended or time.monotonic() > deadline:
                message = f"the server did not start; {self.log} says why"
                raise RuntimeError(message)
            await asyncio.sleep(0.1)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; returns its status, which is negative if the signal killed it.

        Raises:
            RuntimeError: it did not end, and was killed.
        """
        assert self._process is not None
        self._process.send_signal(number)
        try:
            return await asyncio.to_thread(self._process.wait, _END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            message = f"the server did not end within {_END_SECONDS:g} s after {number.name}"
            raise RuntimeError(message) from None

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    async def _is_ready(self) -> bool:
        connection = Connection(self.port)
        try:
            return (await connection.ask("GET", "/ready")).status == 200
        except (OSError, EOFError):
            return False
        finally:
            connection.leave()


def complaints(log: Path) -> list[str]:
    """Lines of a log that tell of failures: errors, tracebacks, and what is no line of ours."""
    found = []
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                level = json.loads(line)["level"]
            except (ValueError, KeyError, TypeError):
                level = "unknown"
            if level not in {"debug", "info", "warning"} and line.strip():
                found.append(line.strip()[:400])
    return found


def _entry(name: str, key: str, limits: str) -> str:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f'[[key]]\nname = "{name}"\nsha256 = "{digest}"\n{limits}\n'
