"""Each API's errors and events in its own form."""

import json

import pytest

from tercet_engine import EngineOverloaded
from tercet_server.dialects import dialect_of
from tercet_server.errors import (
    InvalidApiKey,
    MethodNotAllowed,
    UnsupportedMediaType,
    reply_to,
)

BUSY = reply_to(EngineOverloaded("requests", 4, 2.0))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"error": {"type": "rate_limit_error", "code": "overloaded"}}),
        ("/nowhere", {"error": {"type": "rate_limit_error", "code": "overloaded"}}),
        ("/v1/responses", {"error": {"type": "rate_limit_error", "code": "overloaded"}}),
        ("/v1/messages", {"type": "error", "error": {"type": "rate_limit_error"}}),
        ("/api/chat", {"error": BUSY.message}),
    ],
)
def test_an_error_has_the_shape_of_the_api_that_was_asked(path: str, body: object) -> None:
    assert _without_message(dialect_of(path).error_body(BUSY)) == body


def test_every_status_is_a_word_that_anthropics_clients_know() -> None:
    body = dialect_of("/v1/messages/count_tokens").error_body(reply_to(InvalidApiKey("no")))
    assert body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    "error", [UnsupportedMediaType("no"), MethodNotAllowed("GET", "/v1/messages", "POST")]
)
def test_anthropics_clients_are_not_told_that_their_own_faults_are_the_servers(
    error: Exception,
) -> None:
    body = dialect_of("/v1/messages").error_body(reply_to(error))
    assert body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("/v1/completions", ["data: "]),
        ("/v1/responses", ["event: error", "data: "]),
        ("/v1/messages", ["event: error", "data: "]),
        ("/api/generate", [""]),
    ],
)
def test_an_error_in_a_stream_is_one_event_in_its_dialect(path: str, lines: list[str]) -> None:
    text = dialect_of(path).error_event(BUSY, 7).decode().rstrip("\n").split("\n")

    assert len(text) == len(lines)
    assert all(map(str.startswith, text, lines))
    assert BUSY.message in json.dumps(json.loads(text[-1].removeprefix("data: ")))


def test_an_error_among_responses_events_is_numbered() -> None:
    event = dialect_of("/v1/responses").error_event(BUSY, 7).decode().split("data: ")[1]
    assert json.loads(event)["sequence_number"] == 7


def _without_message(body: object) -> object:
    if not isinstance(body, dict) or not isinstance(body["error"], dict):
        return body
    kept = {k: v for k, v in body["error"].items() if k in {"type", "code"}}
    return {**body, "error": kept}
