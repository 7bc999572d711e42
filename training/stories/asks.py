"""The many wordings of a request, from `asks.txt`."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .expand import choose, fill

if TYPE_CHECKING:
    import random

FILE = Path(__file__).parent / "asks.txt"


@cache
def asks() -> dict[str, tuple[str, ...]]:
    """The ways to ask, by sort of request."""
    lines = FILE.read_text().splitlines()
    pairs = (line.partition(": ") for line in lines if not line.startswith("#"))
    return {key: tuple(v.strip() for v in values.split(" | ")) for key, _, values in pairs}


def phrase(sort: str, rng: random.Random, **slots: str) -> str:
    """One request of this sort, with or without a capital."""
    text = fill(choose(rng.choice(asks()[sort]), rng), slots)
    return text[:1].upper() + text[1:] if rng.random() < 0.6 else text
