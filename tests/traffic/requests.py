"""Requests to every path of the document: right ones, wrong ones, and what is hardly one."""

import copy
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.traffic.values import TEXTS, Values

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE")
MEDIA_TYPES: Final = (
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "",
    "a/b; c=\xff",
    "*",
)
HEADERS: Final = (
    ("x-request-id", "a b"), ("x-request-id", "x" * 300), ("traceparent", "00-zz-1"),
    ("authorization", "Bearer x"), ("authorization", "\xff"), ("x-api-key", ""),
    ("content-encoding", "gzip"), ("expect", "100-continue"), ("if-none-match", "*"),
    ("accept", "text/html"), ("accept-encoding", "gzip;q=\x7f"), ("origin", "null"),
    ("content-length", "3"), ("range", "bytes=0-1"), ("x-http-method-override", "DELETE"),
)  # fmt: skip


@dataclass(frozen=True)
class Sent:
    """One request."""

    method: str
    path: str
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_documented: bool = False
    """Whether it is a request that the document describes, right or not."""
    template: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


class Requests:
    """Makes them by a document and a source of choices."""

    def __init__(self, document: Mapping[str, Any], rng: random.Random) -> None:
        self._rng = rng
        self._values = Values(document["components"]["schemas"], rng)
        self._operations = [
            (path, method, entry)
            for path, methods in document["paths"].items()
            for method, entry in methods.items()
        ]
        self.ids: list[str] = ["resp_1"]
        """Of responses that there are."""

    def next(self) -> Sent:
        """One more."""
        rng = self._rng
        template, method, entry = rng.choice(self._operations)
        path = self._path(template)
        media_type, query = "application/json", {}
        body = self._body(entry)
        headers = tuple(rng.sample(HEADERS, 1)) if rng.random() < 0.15 else ()
        chance = rng.random()
        if chance < 0.08:
            method = rng.choice(METHODS).lower()
        elif chance < 0.13:
            media_type = rng.choice(MEDIA_TYPES)
        elif chance < 0.2 and body:
            body = body[: rng.randrange(len(body))]
        elif chance < 0.24:
            body = rng.randbytes(rng.randrange(200))
        elif chance < 0.28:
            path = rng.choice([path + "/", path + "/x", path.upper(), "/" + path, path + "%00"])
        elif chance < 0.4:
            query = {rng.choice(["limit", "after", "order", "include", "x"]): rng.choice(TEXTS)}
        if body is not None and media_type:
            headers = (*headers, ("content-type", media_type))
        is_documented = chance >= 0.28 or 0.13 <= chance < 0.24
        return Sent(method.upper(), path, body, headers, is_documented, template, query)

    def _path(self, template: str) -> str:
        found = template
        for name, among in (("{response_id}", self.ids), ("{name}", ["toy", "tercet-tiny"])):
            value = self._rng.choice([*among, *among, self._rng.choice(TEXTS)[:200]])
            found = found.replace(name, "".join(f"%{byte:02x}" for byte in value.encode()) or "x")
        return found

    def _body(self, entry: Mapping[str, Any]) -> bytes | None:
        if "requestBody" not in entry:
            return None
        content = entry["requestBody"]["content"]["application/json"]
        examples = [example["value"] for example in content["examples"].values()]
        if self._rng.random() < 0.25:
            value = self._values.of(content["schema"])
        else:
            value = copy.deepcopy(self._rng.choice(examples))
            if self._rng.random() < 0.7 and isinstance(value, dict):
                other = self._values.of(content["schema"])
                if isinstance(other, dict) and other:
                    names = self._rng.sample(sorted(other), min(2, len(other)))
                    value.update({name: other[name] for name in names})
        return json.dumps(value).encode()
