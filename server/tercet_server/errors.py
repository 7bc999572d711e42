"""The one place where an exception becomes an OpenAI error.

ServerError                 what this server itself refuses
├── InvalidHttp             400  what was sent is no request at all
├── InvalidRequest          400  the body does not say what it must
│   ├── PromptTooLarge
│   └── UnknownPrevious          the response to go on from is not there
├── InvalidApiKey           401
├── UnknownHost             403
├── UnknownModel            404
├── UnknownResponse         404
├── UnknownUrl              404
├── MethodNotAllowed        405
├── BodyTooLarge            413
├── UnsupportedMediaType    415
├── BodyTooSlow             408
├── TooManyRequests         429  more at once than the server takes
├── RateLimited             429  more than the key may ask for
├── HeadTooLarge            431
├── ClientLeft              499  seen by the log only
├── ServerLoading           503
├── StoreUnavailable        503
├── TooManyConnections      503
└── RequestTimedOut         504

`KINDS` holds every one of them and every `EngineError`: status, type, code. What is not in it is a
bug, and is answered with 500 and nothing of its inside. Where waiting helps, the reply says for how
long, in the headers that OpenAI's clients obey.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from tercet_engine import (
    CheckpointError,
    EngineDead,
    EngineDraining,
    EngineError,
    EngineOverloaded,
    FetchFailed,
    GrammarFailed,
    InvalidConfig,
    InvalidGrammar,
    InvalidSamplingParams,
    InvalidToken,
    KernelUnavailable,
    LoadError,
    ModelNotFound,
    OutOfMemory,
    PromptEmpty,
    PromptTooLong,
    RequestError,
    SelfTestFailed,
    TemplateError,
    TooManyChoices,
    UnsupportedModel,
    WaitedTooLong,
)
from tercet_server.words import path_of, sentence_of, shown


class ServerError(Exception):
    """The root of what the server refuses on purpose. `param` names the field at fault, if any."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.retry_after_seconds: float | None = None


class InvalidHttp(ServerError):
    """What came over the wire cannot be read as HTTP."""

    def __init__(self) -> None:
        super().__init__("this is not a valid HTTP request")


class HeadTooLarge(ServerError):
    """Request line and headers exceed the limit."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"the request line and headers may have at most {max_bytes} bytes; they have more"
        )


class TooManyHeaders(ServerError):
    """A request has more headers than any needs."""

    def __init__(self, max_headers: int) -> None:
        super().__init__(f"a request may have at most {max_headers} headers; it has more")


class TooManyConnections(ServerError):
    """More connections than the server holds."""

    def __init__(self, max_connections: int) -> None:
        super().__init__(
            f"the server is busy: at most {max_connections} connections may be open. "
            "Try again in 1 s"
        )
        self.retry_after_seconds = 1.0


class InvalidRequest(ServerError):
    """The body is not what the endpoint takes."""


class PromptTooLarge(InvalidRequest):
    """So much text that it is not worth counting its tokens."""

    def __init__(self, num_chars: int, max_chars: int, param: str) -> None:
        super().__init__(
            f"{param} holds {num_chars} characters, more than this model's context has room for; "
            f"at most {max_chars} are looked at. Shorten it",
            param,
        )


class UnknownPrevious(InvalidRequest):
    """A response that a conversation is made of is not stored here, or no more."""

    def __init__(self, response_id: str, why: str) -> None:
        words = f"the previous response {shown(response_id)} is not to be found: {why}"
        super().__init__(words, "previous_response_id")


class InvalidApiKey(ServerError):
    """The key is missing or wrong."""


class UnknownHost(ServerError):
    """The server is called by a name that is not its own."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"this server is not called {shown(host)}; if it is, start it with --allowed-host NAME"
        )


class UnknownModel(ServerError):
    """A model is asked for that is not served here."""

    def __init__(self, name: str, served: tuple[str, ...]) -> None:
        names = ", ".join(f"'{served_name}'" for served_name in served)
        super().__init__(
            f"the model {shown(name)} does not exist; this server serves {names}", "model"
        )


class UnknownResponse(ServerError):
    """A response is asked for that is not stored here, or no more."""

    def __init__(self, response_id: str, why: str) -> None:
        super().__init__(f"the response {shown(response_id)} is not to be found: {why}")


class UnknownUrl(ServerError):
    """Nothing is to be found there."""

    def __init__(self, method: str, path: str) -> None:
        super().__init__(
            f"there is no {method} {shown(path)}; the API is under /v1, as in /v1/chat/completions"
        )


class MethodNotAllowed(ServerError):
    """The path is right and the verb is not."""

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{shown(path)} takes {allowed}; got {method}")
        self.allowed = allowed


class BodyTooLarge(ServerError):
    """The body exceeds the limit."""

    def __init__(self, max_bytes: int, num_bytes: int | None) -> None:
        found = "more" if num_bytes is None else str(num_bytes)
        super().__init__(f"the body may have at most {max_bytes} bytes; it has {found}")


class BodyTooSlow(ServerError):
    """The body does not arrive in time."""

    def __init__(self, max_seconds: float) -> None:
        super().__init__(f"the body did not arrive within {max_seconds:g} s")


class UnsupportedMediaType(ServerError):
    """The body is not declared to be JSON."""


class TooManyRequests(ServerError):
    """More requests at once than the server takes."""

    def __init__(self, max_requests: int, kind: str = "requests") -> None:
        super().__init__(
            f"the server is busy: at most {max_requests} {kind} may be in progress. "
            "Try again in 1 s"
        )
        self.retry_after_seconds = 1.0


class RateLimited(ServerError):
    """A key asks for more than it may. The message says which limit, and what to do."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(f"{message}. Try again in {math.ceil(retry_after_seconds)} s")
        self.retry_after_seconds = retry_after_seconds


class ClientLeft(ServerError):
    """The client has hung up before its answer was ready."""

    def __init__(self) -> None:
        super().__init__("the client has left")


class ServerLoading(ServerError):
    """The model is still being loaded."""

    def __init__(self) -> None:
        super().__init__("the model is being loaded; try again in 2 s")
        self.retry_after_seconds = 2.0


class StoreUnavailable(ServerError):
    """Responses that are kept cannot be read or written just now."""

    def __init__(self) -> None:
        super().__init__("the store of responses cannot be used just now; try again in 2 s")
        self.retry_after_seconds = 2.0


class RequestTimedOut(ServerError):
    """The answer took too long."""

    def __init__(self, max_seconds: float) -> None:
        super().__init__(
            f"the answer was not ready within {max_seconds:g} s and was given up. "
            "Ask for fewer tokens, or stream"
        )


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """What clients are told of an error beside its message."""

    status: int
    type: str
    code: str | None = None


_INVALID: Final = "invalid_request_error"
_UNAVAILABLE: Final = "service_unavailable_error"
_LOAD_FAILED: Final = ErrorKind(503, _UNAVAILABLE, "model_not_loaded")
_INTERNAL: Final = ErrorKind(500, "server_error", "internal_error")
_DRAIN_RETRY_SECONDS: Final = 5.0
"""Another server behind the same address takes it at once; one alone needs so long to be back."""

KINDS: Final[Mapping[type[Exception], ErrorKind]] = {
    ServerError: _INTERNAL,
    InvalidHttp: ErrorKind(400, _INVALID, "invalid_http"),
    InvalidRequest: ErrorKind(400, _INVALID, "invalid_request"),
    PromptTooLarge: ErrorKind(400, _INVALID, "context_length_exceeded"),
    UnknownPrevious: ErrorKind(400, _INVALID, "previous_response_not_found"),
    InvalidApiKey: ErrorKind(401, _INVALID, "invalid_api_key"),
    UnknownHost: ErrorKind(403, _INVALID, "unknown_host"),
    UnknownModel: ErrorKind(404, _INVALID, "model_not_found"),
    UnknownResponse: ErrorKind(404, _INVALID, "response_not_found"),
    UnknownUrl: ErrorKind(404, _INVALID, "unknown_url"),
    MethodNotAllowed: ErrorKind(405, _INVALID, "method_not_allowed"),
    BodyTooLarge: ErrorKind(413, _INVALID, "body_too_large"),
    BodyTooSlow: ErrorKind(408, _INVALID, "body_too_slow"),
    UnsupportedMediaType: ErrorKind(415, _INVALID, "unsupported_media_type"),
    HeadTooLarge: ErrorKind(431, _INVALID, "head_too_large"),
    TooManyHeaders: ErrorKind(431, _INVALID, "head_too_large"),
    TooManyConnections: ErrorKind(503, _UNAVAILABLE, "too_many_connections"),
    TooManyRequests: ErrorKind(429, "rate_limit_error", "overloaded"),
    RateLimited: ErrorKind(429, "rate_limit_error", "rate_limit_exceeded"),
    ClientLeft: ErrorKind(499, _INVALID, "client_left"),
    ServerLoading: ErrorKind(503, _UNAVAILABLE, "loading"),
    StoreUnavailable: ErrorKind(503, _UNAVAILABLE, "store_unavailable"),
    RequestTimedOut: ErrorKind(504, "timeout_error", "request_timed_out"),
    EngineError: _INTERNAL,
    RequestError: ErrorKind(400, _INVALID, "invalid_request"),
    GrammarFailed: ErrorKind(400, _INVALID, "grammar_too_complex"),
    InvalidGrammar: ErrorKind(400, _INVALID, "invalid_grammar"),
    InvalidSamplingParams: ErrorKind(400, _INVALID, "invalid_value"),
    InvalidToken: ErrorKind(400, _INVALID, "invalid_token"),
    PromptEmpty: ErrorKind(400, _INVALID, "prompt_empty"),
    PromptTooLong: ErrorKind(400, _INVALID, "context_length_exceeded"),
    TemplateError: ErrorKind(400, _INVALID, "invalid_messages"),
    TooManyChoices: ErrorKind(400, _INVALID, "too_many_choices"),
    EngineOverloaded: ErrorKind(429, "rate_limit_error", "overloaded"),
    WaitedTooLong: ErrorKind(429, "rate_limit_error", "queue_timeout"),
    EngineDraining: ErrorKind(503, _UNAVAILABLE, "shutting_down"),
    EngineDead: ErrorKind(503, _UNAVAILABLE, "engine_dead"),
    LoadError: _LOAD_FAILED,
    CheckpointError: _LOAD_FAILED,
    FetchFailed: _LOAD_FAILED,
    InvalidConfig: _LOAD_FAILED,
    KernelUnavailable: _LOAD_FAILED,
    ModelNotFound: _LOAD_FAILED,
    OutOfMemory: _LOAD_FAILED,
    SelfTestFailed: _LOAD_FAILED,
    UnsupportedModel: _LOAD_FAILED,
}


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error as a client gets it; `dialects.py` says in what form.

    Attributes:
        code: also what the log says of it; unlike the message it holds nothing a client wrote.
        param: the field of the request that is at fault.
    """

    status: int
    message: str
    type: str
    param: str | None
    code: str | None
    headers: Mapping[str, str]


def reply_to(error: Exception) -> ErrorReply:
    """Say to a client what went wrong. What nobody foresaw says nothing of its inside."""
    if isinstance(error, HTTPException):
        kind = ErrorKind(error.status_code, _INVALID)
        return _reply(kind, str(error.detail), headers=error.headers)
    if isinstance(error, RequestValidationError):
        return reply_to(invalid_request(error.errors()))
    kind = KINDS.get(type(error), _INTERNAL)
    if kind is _INTERNAL:
        message = "the server failed on this request; its log has the details under the request id"
        return _reply(kind, message)
    return _reply(kind, str(error), getattr(error, "param", None), _headers_of(error, kind))


def invalid_request(errors: Sequence[ErrorDetails]) -> InvalidRequest:
    """Say in words the first thing that a validation has found."""
    path, sentence = path_of(errors[0]), sentence_of(errors[0])
    return InvalidRequest(f"{path} {sentence}" if path else sentence, path)


def _headers_of(error: Exception, kind: ErrorKind) -> dict[str, str]:
    headers: dict[str, str] = {}
    seconds: float | None = getattr(error, "retry_after_seconds", None)
    if isinstance(error, EngineDraining):
        seconds = _DRAIN_RETRY_SECONDS
    if seconds is not None:
        headers["retry-after"] = str(math.ceil(seconds))
        headers["retry-after-ms"] = str(math.ceil(seconds * 1000))
    if isinstance(error, RequestTimedOut):
        headers["x-should-retry"] = "false"  # it would take as long again
    if isinstance(error, EngineDraining | BodyTooLarge | BodyTooSlow):
        headers["connection"] = "close"
    if isinstance(error, MethodNotAllowed):
        headers["allow"] = error.allowed
    if kind.status == 401:
        headers["www-authenticate"] = "Bearer"
    return headers


def _reply(
    kind: ErrorKind,
    message: str,
    param: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> ErrorReply:
    return ErrorReply(kind.status, message, kind.type, param, kind.code, headers or {})
