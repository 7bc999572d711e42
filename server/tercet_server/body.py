"""Reads a JSON body into a request of the protocol, strictly and in one pass.

Only what is declared to be JSON is read: a web page elsewhere can make a browser send a form or
plain text here without being asked first, but not JSON. Under /api/ Ollama's clients may leave the
declaration out, as its documentation does; what a browser sends says by itself that it is one.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated, Final, TypeVar

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.requests import ClientDisconnect

from tercet_server.errors import ClientLeft, UnsupportedMediaType, invalid_request
from tercet_server.logs import Logger
from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.protocol.common import RequestModel
from tercet_server.protocol.completions import CompletionRequest
from tercet_server.words import shown

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LAX_PREFIX: Final = "/api/"
_OF_BROWSERS: Final = ("origin", "sec-fetch-site")
"""Headers of which a browser sends one or both wherever a page elsewhere made it post."""
_MAX_NAMES: Final = 256
_MAX_NAME_CHARS: Final = 64

M = TypeVar("M", bound=RequestModel)


class IgnoredFields:
    """Logs the name of each field that clients send in vain, once."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger
        self._names: set[str] = set()

    def note(self, names: Iterable[str]) -> None:
        """Log those not yet logged, until there are too many."""
        for name in (name[:_MAX_NAME_CHARS] for name in names):
            if name not in self._names and len(self._names) < _MAX_NAMES:
                self._names.add(name)
                self._logger.warning("field_ignored", field=ascii(name))


def json_body(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency that reads a request's body as `model`, for `Annotated[model, Depends(...)]`."""

    async def read(request: Request) -> M:
        _check_headers(request)
        try:
            body = await request.body()
        except ClientDisconnect:
            raise ClientLeft from None
        try:
            parsed = model.model_validate_json(body.removeprefix(_BYTE_ORDER_MARK))
        except ValidationError as error:
            raise invalid_request(error.errors(include_url=False)) from None
        ignored: IgnoredFields = request.app.state.ignored_fields
        ignored.note(parsed.ignored_fields)
        return parsed

    return read


def _check_headers(request: Request) -> None:
    declared = request.headers.get("content-type")
    media_type = (declared or "").partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.endswith(("/json", "+json"))
    if not (is_json or _may_be_undeclared(request)):
        found = shown(declared) if declared else "none"
        message = f"the body must be JSON: send 'Content-Type: application/json'; got {found}"
        raise UnsupportedMediaType(message)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        message = f"the body must not be compressed; got the content-encoding {shown(encoding)}"
        raise UnsupportedMediaType(message)


def _may_be_undeclared(request: Request) -> bool:
    is_of_browser = any(name in request.headers for name in _OF_BROWSERS)
    return request.url.path.startswith(_LAX_PREFIX) and not is_of_browser


ChatBody = Annotated[ChatCompletionRequest, Depends(json_body(ChatCompletionRequest))]
CompletionBody = Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]
