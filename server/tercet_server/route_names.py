"""The template of the route that a path belongs to, as logs and metrics name it.

The names are those of the API's own table, so their number does not grow by what clients ask for.
"""

import re
from collections.abc import Iterable
from typing import Final

from tercet_server.reference.document import OPERATIONS

_PAGES: Final = ("/", "/docs", "/openapi.json", "/page/{name}")
_PARAMETER: Final = re.compile(r"\{\w+\}")


class RouteNames:
    """Finds templates by paths.

    Args:
        templates: such as "/v1/responses/{response_id}"; a parameter holds no slash.
    """

    def __init__(self, templates: Iterable[str]) -> None:
        names = dict.fromkeys(templates)
        self._plain = {name for name in names if not _PARAMETER.search(name)}
        self._patterns = [(_pattern(name), name) for name in names if name not in self._plain]

    def __call__(self, path: str) -> str | None:
        """The template; None: there is nothing at that path."""
        if path in self._plain:
            return path
        return next((name for pattern, name in self._patterns if pattern.fullmatch(path)), None)


def _pattern(template: str) -> re.Pattern[str]:
    parts = map(re.escape, _PARAMETER.split(template))
    return re.compile("[^/]+".join(parts))


ROUTE_NAMES: Final = RouteNames([*(path for _, path in OPERATIONS), *_PAGES])
