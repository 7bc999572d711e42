"""The chat page's files: read once, known by strict names, sent so that browsers may keep them.

The page is one document and what it names under `page/`, with relative addresses, so that it works
behind a proxy's path. It loads nothing from elsewhere, and browsers are told to hold it to that.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.responses import Response

DOCUMENT: Final = "page.html"
REFERENCE: Final = "docs.html"
_FOLDER: Final = Path(__file__).parent / "static"
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-cache",  # kept, but asked for again: an upgrade is seen at once
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'; require-trusted-types-for 'script'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    def response(self, if_none_match: str, *, vary: str | None = None) -> Response:
        """The file, or 304 to who has it already."""
        headers = {**_HEADERS, "etag": self.etag, **({"vary": vary} if vary else {})}
        known = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
        if known & {self.etag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers=headers, media_type=self.media_type)


def read_page() -> Mapping[str, PageFile]:
    """Every file of the page by its name."""
    return {path.name: _read(path) for path in _FOLDER.iterdir() if path.suffix in _MEDIA_TYPES}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, _MEDIA_TYPES[path.suffix], tag)
