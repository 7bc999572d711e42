"""GET /openapi.json, the API for programs, and GET /docs, the same for people; both without a key.

The document is made when it is first asked for: most servers never are.
"""

import json

from fastapi import APIRouter, Request
from starlette.responses import Response

from tercet_server.reference.document import build_document
from tercet_server.routes.page import FilesDep
from tercet_server.static_page import REFERENCE

document_router = APIRouter()
reference_router = APIRouter()


@document_router.get("/openapi.json", response_model=None)
async def document(request: Request) -> Response:
    """The API of this server."""
    state = request.app.state
    if state.document is None:
        state.document = json.dumps(build_document(request.app.routes)).encode()
    return Response(state.document, media_type="application/json")


@reference_router.get("/docs", response_model=None, include_in_schema=False)
async def reference(request: Request, files: FilesDep) -> Response:
    """The page that shows it."""
    return files[REFERENCE].response(request.headers.get("if-none-match", ""))
