"""A few requests with seeds, asked again and again: their answers must stay the same to the byte.

Whatever else is in the batch, cached, preempted or being cut off must not show in them.
"""

import asyncio
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.soak.tally import Tally
from benchmarks.soak.wire import Connection

_STORY: Final = [{"role": "user", "content": "Tell me a story about a dog named Max."}]
_SKY: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"colour": {"enum": ["blue", "grey"]}, "warm": {"type": "boolean"}},
    "required": ["colour", "warm"],
    "additionalProperties": False,
}
REQUESTS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "chat": (
        "/v1/chat/completions",
        {"messages": _STORY, "seed": 7, "temperature": 0.8, "max_completion_tokens": 90},
    ),
    "chat with log-probabilities": (
        "/v1/chat/completions",
        {
            "messages": _STORY,
            "seed": 8,
            "max_completion_tokens": 24,
            "logprobs": True,
            "top_logprobs": 3,
        },
    ),
    "a stream": (
        "/v1/chat/completions",
        {"messages": _STORY, "seed": 9, "max_completion_tokens": 120, "stream": True},
    ),
    "three texts": (
        "/v1/completions",
        {"prompt": ["Once upon a time", "One day"], "n": 3, "seed": 10, "max_tokens": 40},
    ),
    "greedy": ("/v1/completions", {"prompt": "At night", "temperature": 0, "max_tokens": 60}),
    "JSON": (
        "/v1/chat/completions",
        {
            "messages": _STORY,
            "seed": 11,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "sky", "schema": _SKY},
            },
        },
    ),
    "embedding": ("/v1/embeddings", {"input": "Once upon a time", "encoding_format": "base64"}),
}


@dataclass(slots=True)
class Seeded:
    """What was answered first; all servers of a run must agree with it."""

    first: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    async def ask(self, connection: Connection, draw: random.Random, tally: Tally) -> None:
        """Ask for one of them."""
        name = draw.choice(list(REQUESTS))
        path, body = REQUESTS[name]
        answer = await connection.ask("POST", path, body)
        tally.answered("seeded", answer.status)
        if answer.status == 429:
            await asyncio.sleep(0.5)
        elif answer.status != 200:
            tally.problem(f"seeded: {answer.status} {answer.body[:200]!r}")
        else:
            tally.seeded += 1
            self.compare(name, essence(answer.body))

    def compare(self, name: str, found: str) -> None:
        """Note a difference; at most a few, for they would all say the same."""
        before = self.first.setdefault(name, found)
        if before != found and len(self.differences) < 20:
            self.differences.append(f"{name}: {before[:200]} became {found[:200]}")


def essence(body: bytes) -> str:
    """An answer without what may differ: ids, times, and how many tokens came from the cache."""
    if not body.startswith(b"data: "):
        answer = json.loads(body)
        return json.dumps(answer.get("choices") or answer["data"])
    texts: dict[int, str] = {}
    ends: dict[int, str] = {}
    for line in body.decode().splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line.removeprefix("data: ")).get("choices", ()):
            index = choice["index"]
            texts[index] = texts.get(index, "") + (choice["delta"].get("content") or "")
            ends[index] = choice["finish_reason"] or ends.get(index, "")
    return json.dumps([texts, ends])
