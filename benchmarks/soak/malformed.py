"""Requests that are wrong, each with the statuses that say so."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.soak.wishes import nonce

_STORY: Final = [{"role": "user", "content": "Tell me a story."}]
_CHAT: Final = "/v1/chat/completions"
_DEEP: Final = 2000


@dataclass(frozen=True, slots=True)
class Malformed:
    """One of them, and how it may be answered."""

    method: str
    path: str
    body: bytes
    allowed: frozenset[int] = frozenset({400})
    headers: Mapping[str, str] = field(default_factory=dict)


def draw_malformed(draw: random.Random) -> Malformed:
    """Anything that no client should send."""
    return draw.choice(
        (_bad_json, _wrong_types, _huge_fields, _bad_keys, _nowhere, _wrong_media, _bad_schemas)
    )(draw)


def _bad_json(draw: random.Random) -> Malformed:
    bodies = [
        b"",
        b"{",
        b'{"messages": [}',
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b'{"messages": "\\ud800"}',
        b"[" * _DEEP + b"]" * _DEEP,
        b'{"a":' * _DEEP + b"1" + b"}" * _DEEP,
        draw.randbytes(300),
        json.dumps({"messages": _STORY}).encode()[:-1],
    ]
    path = draw.choice((_CHAT, "/v1/completions", "/v1/responses", "/v1/messages", "/api/chat"))
    return Malformed("POST", path, draw.choice(bodies))


def _wrong_types(draw: random.Random) -> Malformed:
    wrong: list[dict[str, Any]] = [
        {"messages": 7},
        {"messages": [{"role": "wizard", "content": "x"}]},
        {"messages": []},
        {"messages": _STORY, "temperature": "hot"},
        {"messages": _STORY, "n": 99},
        {"messages": _STORY, "max_tokens": -1},
        {"messages": _STORY, "seed": 1.5},
        {"messages": _STORY, "stop": [1, 2]},
        {"messages": _STORY, "logit_bias": {nonce(draw): 1}},
        {"messages": _STORY, "stream": "yes"},
        {"messages": _STORY, "tools": [{"type": "function"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
    ]
    return _of(_CHAT, draw.choice(wrong))


def _huge_fields(draw: random.Random) -> Malformed:
    size = draw.choice((100_000, 1_000_000))
    huge: list[dict[str, Any]] = [
        {"messages": [{"role": "user", "content": "la " * (size // 3)}]},
        {"messages": _STORY, "stop": ["x" * size]},
        {"messages": _STORY, "cache_salt": nonce(draw) * (size // 12)},
        {"messages": _STORY, "logit_bias": {str(index): 1 for index in range(size // 20)}},
        {"messages": _STORY * (size // 40)},
    ]
    if draw.random() < 0.2:
        body = json.dumps({"messages": _STORY, "user": "x" * (5 << 20)}).encode()
        return Malformed("POST", _CHAT, body, frozenset({413}))
    return _of(_CHAT, draw.choice(huge), 400, 413)


def _bad_keys(draw: random.Random) -> Malformed:
    bad = [
        {"authorization": f"Bearer {nonce(draw)}"},
        {"authorization": ""},
        {"authorization": "Basic c29haw=="},
        {"authorization": f"Bearer {'x' * 8000}"},
    ]
    body = json.dumps({"messages": _STORY}).encode()
    return Malformed("POST", _CHAT, body, frozenset({401}), draw.choice(bad))


def _nowhere(draw: random.Random) -> Malformed:
    where = [
        ("GET", f"/{nonce(draw)}", 404),
        ("POST", f"/v1/{nonce(draw)}", 404),
        ("GET", f"/v1/responses/resp_{nonce(draw)}", 404),
        ("DELETE", f"/v1/responses/{nonce(draw)}", 404),
        ("GET", f"/v1/models/{nonce(draw)}", 404),
        ("DELETE", _CHAT, 405),
        ("PUT", "/v1/models", 405),
        ("GET", f"/page/../../{nonce(draw)}", 404),
    ]
    method, path, status = draw.choice(where)
    return Malformed(method, path, b"", frozenset({status, 400}))


def _wrong_media(draw: random.Random) -> Malformed:
    body = json.dumps({"messages": _STORY}).encode()
    kind = draw.choice(("text/plain", "multipart/form-data", f"application/{nonce(draw)}"))
    return Malformed("POST", _CHAT, body, frozenset({400, 415}), {"content-type": kind})


def _bad_schemas(draw: random.Random) -> Malformed:
    wrong: list[dict[str, Any]] = [
        {"structured_outputs": {"regex": f"({nonce(draw)}"}},
        {"structured_outputs": {"grammar": f"start: {nonce(draw)} ("}},
        {"guided_json": {"type": "object", "properties": {nonce(draw): {"type": "banana"}}}},
        {"guided_json": {"$ref": f"#/definitions/{nonce(draw)}"}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": 7}}},
        {"structured_outputs": {"regex": "a", "choice": ["b"]}},
    ]
    return _of(_CHAT, {"messages": _STORY, "max_tokens": 8, **draw.choice(wrong)})


def _of(path: str, body: dict[str, Any], *statuses: int) -> Malformed:
    allowed = frozenset(statuses or (400,))
    return Malformed("POST", path, json.dumps(body).encode(), allowed)
