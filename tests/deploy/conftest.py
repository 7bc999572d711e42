"""Replicas that end with their test."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.deploy.processes import Replica


@pytest.fixture
def start_replicas(tmp_path: Path) -> Iterator[Callable[[int], list[Replica]]]:
    """Starts so many servers and waits until all are ready."""
    started: list[Replica] = []

    def start(count: int) -> list[Replica]:
        started.extend(Replica(tmp_path / f"replica{number}.log") for number in range(count))
        for replica in started:
            replica.wait_until_ready()
        return started

    yield start
    for replica in started:
        replica.end()
