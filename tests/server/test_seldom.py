import io
import logging

import pytest

from tercet_server.logs import route_logging
from tercet_server.seldom import Seldom
from tests.server.conftest import settings_of


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    output = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    route_logging(settings_of(log_format="text"), output)
    return output


def test_a_flood_of_invalid_requests_is_one_line(log: io.StringIO) -> None:
    for _ in range(1000):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert log.getvalue().count("\n") == 1


def test_nobody_is_told_to_install_what_would_not_help(log: io.StringIO) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.warning("Unsupported upgrade request.")
    logger.warning("No supported WebSocket library detected. Please use pip")
    assert not log.getvalue()


def test_failures_are_always_told(log: io.StringIO) -> None:
    for _ in range(3):
        logging.getLogger("uvicorn.error").error("it failed", exc_info=ValueError("x"))
    assert log.getvalue().count("ValueError") == 3


def test_what_was_left_out_is_counted() -> None:
    now = 0.0
    seldom = Seldom(lambda: now)

    def told(message: str) -> str | None:
        record = logging.LogRecord("uvicorn.error", 30, "", 0, message, None, None)
        return record.getMessage() if seldom.filter(record) else None

    assert [told("a"), told("a"), told("b"), told("a")] == ["a", None, "b", None]
    now = 60.0
    assert told("a") == "a (2 times more since the last)"
    assert told("a") is None
    now = 120.0
    assert told("a") == "a (1 times more since the last)"
