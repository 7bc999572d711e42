"""JSON answers. Written by pydantic directly to bytes, errors included."""

import json
from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tercet_server.dialects import dialect_of
from tercet_server.errors import MethodNotAllowed, UnknownUrl, reply_to
from tercet_server.protocol.common import ResponseModel
from tercet_server.record import RequestRecord

HEADERS_OF_ALL: Final[Mapping[str, str]] = {
    "cache-control": "no-store",  # an answer is for whoever asked
    "x-content-type-options": "nosniff",  # JSON that quotes HTML is still JSON
}
"""Of every answer that does not say otherwise."""


def json_response(model: ResponseModel) -> Response:
    """A successful answer."""
    return Response(model.to_json(), media_type="application/json")


def error_response(error: Exception, record: RequestRecord, path: str) -> Response:
    """An error as an answer to whoever asked for `path`; notes its code for the log."""
    reply = reply_to(error)
    record.error_code = reply.code or str(reply.status)
    return Response(
        json.dumps(dialect_of(path).error_body(reply)),
        status_code=reply.status,
        headers=dict(reply.headers),
        media_type="application/json",
    )


async def answer_error(request: Request, error: Exception) -> Response:
    """The handler of every exception that the application raises on purpose."""
    return error_response(_in_words(request, error), request.state.record, request.url.path)


def _in_words(request: Request, error: Exception) -> Exception:
    """What the router says in a word, said in a sentence."""
    match error:
        case HTTPException(status_code=404):
            return UnknownUrl(request.method, request.url.path)
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "another method")
            return MethodNotAllowed(request.method, request.url.path, allowed)
    return error
