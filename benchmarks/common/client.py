"""A client that notes when each piece of an answer arrives.

Prompts are token ids, so that their lengths are exact and nothing is spent on tokenising them.
"""

import itertools
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx


@dataclass(slots=True)
class Answer:
    """What came back, and when, in seconds of one clock.

    Attributes:
        status: of HTTP.
        asked: when the request was due; a client that is late has waited, so this counts.
        pieces: when each piece of text arrived.
        num_tokens: that the server says it generated.
    """

    status: int
    asked: float
    pieces: list[float] = field(default_factory=list)
    num_tokens: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the answer came to its end."""
        return self.status == 200 and self.num_tokens > 0 and bool(self.pieces)

    @property
    def first_token_seconds(self) -> float:
        """From the request to the first piece."""
        return self.pieces[0] - self.asked

    @property
    def total_seconds(self) -> float:
        """From the request to the last piece."""
        return self.pieces[-1] - self.asked

    @property
    def between_seconds(self) -> list[float]:
        """The gaps between pieces."""
        return [after - before for before, after in itertools.pairwise(self.pieces)]


def open_client(url: str) -> httpx.AsyncClient:
    """Any number of connections, and patience."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=1024)
    return httpx.AsyncClient(base_url=url, timeout=600, limits=limits)


async def complete(
    http: httpx.AsyncClient,
    prompt: Sequence[int],
    num_tokens: int,
    asked: float | None = None,
    model: str = "tercet",
) -> Answer:
    """Ask for exactly so many tokens after a prompt, and read them as they come."""
    body = {
        "model": model,
        "prompt": list(prompt),
        "max_tokens": num_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    answer = Answer(0, asked if asked is not None else time.perf_counter())
    async with http.stream("POST", "/v1/completions", json=body) as response:
        answer.status = response.status_code
        async for line in response.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line.removeprefix("data: "))
            if usage := chunk.get("usage"):
                answer.num_tokens = usage["completion_tokens"]
            if any(choice["text"] for choice in chunk.get("choices", ())):
                answer.pieces.append(time.perf_counter())
    return answer
