"""How each API that is spoken here words an error and frames a stream.

    OpenAI              data: {json}                     ... data: [DONE]
    OpenAI responses    event: {type} / data: {json}     ends with its last event
    Anthropic           event: {type} / data: {json}     ends with its last event
    Ollama              {json} a line                    ends with its last line

An error after the first byte is one more event in the same form, and the end.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, Protocol

from sse_starlette import ServerSentEvent
from typing_extensions import override

from tercet_server.errors import ErrorReply
from tercet_server.protocol.common import ResponseModel

_EVENT_STREAM: Final = "text/event-stream"


class Dialect(Protocol):
    """One API's way of saying things."""

    media_type: str
    """Of a stream."""
    keep_alive: ServerSentEvent | None
    """What may be put into a silent stream; None: nothing may."""
    end: bytes
    """What a stream that is whole ends with."""
    request_id_header: str
    """Where clients look for the request's id."""

    def event(self, chunk: ResponseModel) -> bytes:
        """Frame one piece of a stream."""

    def error_event(self, reply: ErrorReply, num_events: int) -> bytes:
        """Frame an error as the last piece of a stream of so many."""

    def error_body(self, reply: ErrorReply) -> Mapping[str, Any]:
        """An error as the body of an answer."""


class OpenAI:
    """Chat and completions; also whatever has no dialect of its own."""

    media_type: str = _EVENT_STREAM
    keep_alive: ServerSentEvent | None = ServerSentEvent(comment="keep-alive", sep="\n")
    end: bytes = b"data: [DONE]\n\n"
    request_id_header: str = "x-request-id"

    def event(self, chunk: ResponseModel) -> bytes:
        """Frame one piece of a stream."""
        return b"data: " + chunk.to_json().encode() + b"\n\n"

    def error_event(self, reply: ErrorReply, num_events: int) -> bytes:  # noqa: ARG002
        """Clients raise on an event whose JSON has an "error"."""
        return b"data: " + json.dumps(self.error_body(reply)).encode() + b"\n\n"

    def error_body(self, reply: ErrorReply) -> Mapping[str, Any]:
        """Message, type, param and code."""
        return {
            "error": {
                "message": reply.message,
                "type": reply.type,
                "param": reply.param,
                "code": reply.code,
            }
        }


class OpenAIResponses(OpenAI):
    """Events that have a name, in the field `type` too."""

    end: bytes = b""

    @override
    def event(self, chunk: ResponseModel) -> bytes:
        return _named(chunk.type, chunk.to_json())  # type: ignore[attr-defined]

    @override
    def error_event(self, reply: ErrorReply, num_events: int) -> bytes:
        event = {
            "type": "error",
            "code": reply.code,
            "message": reply.message,
            "param": reply.param,
            "sequence_number": num_events,
        }
        return _named("error", json.dumps(event))


class Anthropic(OpenAIResponses):
    """The messages API."""

    keep_alive: ServerSentEvent | None = ServerSentEvent(
        event="ping", data='{"type": "ping"}', sep="\n"
    )
    request_id_header: str = "request-id"

    @override
    def error_event(self, reply: ErrorReply, num_events: int) -> bytes:
        return _named("error", json.dumps(self.error_body(reply)))

    @override
    def error_body(self, reply: ErrorReply) -> Mapping[str, Any]:
        other = "invalid_request_error" if reply.status < 500 else "api_error"
        kind = _ANTHROPIC_TYPES.get(reply.status, other)
        return {"type": "error", "error": {"type": kind, "message": reply.message}}


class Ollama(OpenAI):
    """A line of JSON each."""

    media_type: str = "application/x-ndjson"
    keep_alive: ServerSentEvent | None = None
    end: bytes = b""

    @override
    def event(self, chunk: ResponseModel) -> bytes:
        return chunk.to_json().encode() + b"\n"

    @override
    def error_event(self, reply: ErrorReply, num_events: int) -> bytes:
        return json.dumps(self.error_body(reply)).encode() + b"\n"

    @override
    def error_body(self, reply: ErrorReply) -> Mapping[str, Any]:
        return {"error": reply.message}


_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}

OPENAI: Final = OpenAI()
_BY_PREFIX: Final[Mapping[str, Dialect]] = {
    "/v1/responses": OpenAIResponses(),
    "/v1/messages": Anthropic(),
    "/api/": Ollama(),
}


def dialect_of(path: str) -> Dialect:
    """The dialect of an URL's path, whether or not something answers there."""
    return next((d for prefix, d in _BY_PREFIX.items() if path.startswith(prefix)), OPENAI)


def _named(kind: str, data: str) -> bytes:
    return f"event: {kind}\ndata: {data}\n\n".encode()
