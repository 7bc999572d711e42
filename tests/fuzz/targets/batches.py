"""Batches and sampling parameters as C++ gets them: numbers that may not be what they should.

What is not refused is computed, by a model of two small layers; an index that was believed would
kill the process. Numbers come as in JSON and become the arrays that the bindings take.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tercet_engine import EngineConfig, _core
from tercet_engine.gguf import GgufFile
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.model_loader import load_model
from tercet_engine.progress import Silent
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.refusals import refused
from tests.fuzz.target import Target
from tests.fuzz.targets.gguf_models import PATH
from tests.oracle.gguf_writer import GgufWriter
from tests.oracle.same_weights import SameWeights

_CONFIG: Final = EngineConfig(
    num_threads=1, max_context=64, max_batch_tokens=16, max_sequences=4, kv_cache_bytes=1 << 20
)
_BATCH: Final = ("token_ids", "chunk_starts", "positions", "block_tables", "outputs")
_FLOATS: Final = ("temperature", "top_p", "min_p", "repetition_penalty")
_PENALTIES: Final = ("presence_penalty", "frequency_penalty", "biases")
_TYPES: Final[dict[str, Any]] = {
    **dict.fromkeys((*_FLOATS, *_PENALTIES), np.float32),
    "seed": np.uint64,
    "masks": np.uint32,
}
_SAMPLING: Final = (
    *(*_FLOATS, *_PENALTIES, "top_k", "seed", "choice", "position", "seen_starts", "seen_tokens"),
    *("count_starts", "count_tokens", "counts", "bias_starts", "bias_tokens", "mask_rows", "masks"),
    *("targets", "num_logprobs"),
)


def seeds() -> Sequence[bytes]:
    """One chunk, two chunks, and every parameter in use."""
    plain = {
        "token_ids": [1, 2, 3],
        "chunk_starts": [0, 3],
        "positions": [0],
        "block_tables": [[0, 1, 2, 3]],
        "outputs": [2],
        **{name: [1.0] for name in _FLOATS},
        **{name: [0] for name in ("seed", "choice", "position", "top_k")},
        "presence_penalty": [0.0],
        "frequency_penalty": [0.0],
        **{f"{name}_starts": [0, 0] for name in ("seen", "count", "bias")},
        **{f"{name}_tokens": [] for name in ("seen", "count", "bias")},
        "counts": [],
        "biases": [],
        "mask_rows": [-1],
        "masks": [],
        "targets": [-1],
        "num_logprobs": [-1],
        "hidden": [2],
    }
    two = {
        **plain,
        "token_ids": [5, 6, 7, 8],
        "chunk_starts": [0, 1, 4],
        "positions": [20, 30],
        "block_tables": [[4, 5, 0, 0], [6, 7, 8, 0]],
        "outputs": [0, 3],
        **{name: [0.8, 0.5] for name in _FLOATS},
        **{name: [1, 2] for name in ("seed", "choice", "position", "top_k")},
        "presence_penalty": [0.5, 0.0],
        "frequency_penalty": [0.1, 0.0],
        **{f"{name}_starts": [0, 1, 2] for name in ("seen", "count", "bias")},
        **{f"{name}_tokens": [3, 4] for name in ("seen", "count", "bias")},
        "counts": [1, 2],
        "biases": [1.0, -1.0],
        "mask_rows": [0, -1],
        "masks": [[255] * 10],
        "targets": [-1, 7],
        "num_logprobs": [2, 0],
        "hidden": [0, 3],
    }
    return [json.dumps(case).encode() for case in (plain, two)]


def open_target() -> Callable[[bytes], str]:
    """Each input is a batch, and how to draw after it."""
    weights = SameWeights("llama")
    file = GgufWriter(weights.metadata(), weights.tensors("tq2_0")).to_bytes()
    source = GgufCheckpoint(GgufFile.from_bytes(file, PATH))
    model = load_model(source, _CONFIG, Silent()).runner.model
    cache = _core.KVCache(model, 12)

    def run(data: bytes) -> str:
        try:
            case = json.loads(data)
            arrays = {name: _array(case[name], name) for name in (*_BATCH, *_SAMPLING, "hidden")}
        except (ValueError, OverflowError, RecursionError, KeyError, TypeError, IndexError):
            return "no arrays"
        try:
            model.forward(cache, *(arrays[name] for name in _BATCH))
        except (ValueError, TypeError) as error:
            return refused(error)
        outcome = "computed"
        for step in (
            lambda: model.sample(**{name: arrays[name] for name in _SAMPLING}).tokens,
            lambda: model.hidden(arrays["hidden"]),
        ):
            try:
                step()
            except (ValueError, TypeError) as error:
                outcome += f", {refused(error)}"
        return outcome

    return run


def _array(values: Any, name: str) -> Any:
    """Integers wrap around, so that any number is one of the type."""
    kind = _TYPES.get(name, np.int32)
    if name == "masks" and not values:
        return np.zeros((0, 10), np.uint32)
    if kind is np.float32:
        with np.errstate(all="ignore"):
            return np.array(values, np.float64).astype(np.float32)
    bits = 64 if kind is np.uint64 else 32
    flat = [int(value) % 2**bits for value in np.array(values, object).reshape(-1)]
    unsigned = np.array(flat, f"u{bits // 8}").reshape(np.array(values, object).shape)
    return np.ascontiguousarray(unsigned.view(kind))


TARGET = Target(
    "batches",
    open_target,
    json_mutator(
        (*_BATCH, *_SAMPLING, "hidden"),
        (*range(-2, 14), 15, 16, 17, 63, 64, 319, 320, 321, 2**31 - 2, [0, 1], [[0] * 4] * 2),
        damaged=0.01,
    ),
    seeds,
    guided_by=("tests.fuzz.targets.batches",),
    max_bytes=4096,
)
