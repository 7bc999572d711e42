"""One name for everything that decides an answer: what `system_fingerprint` tells."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from tercet_engine.config import EngineConfig
from tercet_engine.core_words import head_kind
from tercet_engine.model_shape import ModelShape


def fingerprint_of(
    shape: ModelShape,
    max_context: int,
    facts: Mapping[str, float],
    config: EngineConfig,
    numerics: int,
) -> str:
    """Name everything that decides an answer: sizes, weights, how some are kept, the arithmetic.

    Where positions are stretched for long contexts only, the context decides too.
    """
    kinds = [head_kind(shape, config), config.kv_type]
    turns = shape.rope.frequencies(shape.head_dim, max_context).tolist()
    everything = [asdict(shape), turns, sorted(facts.items()), kinds, numerics]
    digest = hashlib.blake2b(json.dumps(everything).encode(), digest_size=8)
    return f"tc-{digest.hexdigest()}"
