"""How many connections fit into the limit of open files."""

import io
import json
import resource

import pytest

from tercet_server.open_files import room_for_connections
from tercet_server.runner import Server
from tests.server.conftest import settings_of

INFINITE = resource.RLIM_INFINITY


class Limits:
    """A system's limits, which a process may change as `setrlimit` allows."""

    def __init__(self, soft: int, hard: int, *, is_fixed: bool = False) -> None:
        self.now = (soft, hard)
        self._is_fixed = is_fixed

    def get(self, _which: int) -> tuple[int, int]:
        return self.now

    def set(self, _which: int, limits: tuple[int, int]) -> None:
        if self._is_fixed:
            raise ValueError
        self.now = limits


def install(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", limits.get)
    monkeypatch.setattr(resource, "setrlimit", limits.set)


@pytest.mark.parametrize(
    ("limits", "wanted", "found", "after"),
    [
        ((1024, 1 << 20), 500, 500, (1024, 1 << 20)),  # enough as it is
        ((1024, 1 << 20), 2304, 2304, (2368, 1 << 20)),  # raised as far as needed
        ((1024, INFINITE), 2304, 2304, (2368, INFINITE)),
        ((1024, 2000), 2304, 1936, (2000, 2000)),  # raised as far as allowed, less 64
        ((128, 128), 2304, 64, (128, 128)),
        ((50, 50), 2304, 1, (50, 50)),
        ((INFINITE, INFINITE), 2304, 2304, (INFINITE, INFINITE)),
    ],
)
def test_the_limit_is_raised_and_connections_fit_into_it(
    limits: tuple[int, int],
    wanted: int,
    found: int,
    after: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = Limits(*limits)
    install(system, monkeypatch)

    assert room_for_connections(wanted) == found
    assert system.now == after


def test_a_limit_that_cannot_be_raised_is_lived_with(monkeypatch: pytest.MonkeyPatch) -> None:
    install(Limits(1024, 1 << 20, is_fixed=True), monkeypatch)

    assert room_for_connections(2304) == 960


def test_a_server_with_fewer_connections_than_it_wants_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(Limits(128, 128), monkeypatch)

    Server(settings_of(max_concurrent_requests=16))

    (line,) = map(json.loads, io.StringIO(capsys.readouterr().err))
    assert line["level"] == "warning"
    assert (line["max_connections"], line["wanted"]) == (64, 320)
    assert "ulimit" in line["advice"]
