"""GET / and GET /page/{name}: the chat page, for whoever can reach the server.

Its files hold no secret, so they need no key; the page asks for one where the API does. At / only
browsers get it: programs that look whether somebody is there are told where the API is.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from tercet_server.errors import UnknownUrl
from tercet_server.static_page import DOCUMENT, REFERENCE, PageFile

router = APIRouter()


async def _files(request: Request) -> dict[str, PageFile]:
    files: dict[str, PageFile] = request.app.state.page
    return files


FilesDep = Annotated[dict[str, PageFile], Depends(_files)]


@router.get("/", response_model=None, include_in_schema=False)
async def index(request: Request, files: FilesDep) -> Response:
    """The page for browsers, a few words for others."""
    if "text/html" in request.headers.get("accept", ""):
        return files[DOCUMENT].response(_known(request), vary="accept")
    about = {"name": "Tercet", "api": "/v1", "models": "/v1/models", "health": "/health"}
    return JSONResponse(about, headers={"vary": "accept"})


@router.get("/page/{name}", response_model=None, include_in_schema=False)
async def page_file(name: str, request: Request, files: FilesDep) -> Response:
    """A file that the page is made of."""
    if name not in files or name in {DOCUMENT, REFERENCE}:
        raise UnknownUrl(request.method, request.url.path)
    return files[name].response(_known(request))


def _known(request: Request) -> str:
    return request.headers.get("if-none-match", "")
