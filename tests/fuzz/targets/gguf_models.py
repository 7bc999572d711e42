"""Models in GGUF files that are sound as files and wrong as models.

Keys are left out, or say something else; tensors are left out, renamed, of other shapes and types,
with damaged bytes. Each is opened and every tensor asked for, and one in ten is loaded. It is
served, or refused as a `LoadError`.
"""

import random
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from tercet_engine import EngineConfig, InvalidConfig, LoadError
from tercet_engine.gguf import GgufFile
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.model_loader import load_model
from tercet_engine.progress import Silent
from tests.fuzz.refusals import refused
from tests.fuzz.target import Target
from tests.oracle.gguf_layouts import LAYOUTS
from tests.oracle.gguf_writer import GgufWriter, Kind, Tensor, Typed
from tests.oracle.same_weights import SameWeights

PATH = Path("model.gguf")
CONFIG = EngineConfig(
    num_threads=1, max_context=16, max_batch_tokens=16, max_sequences=2, kv_cache_bytes=1 << 20
)
VALUES: tuple[Any, ...] = (
    0,
    1,
    Typed(Kind.I32, -1),
    3,
    64,
    4096,
    Typed(Kind.U64, 2**63),
    0.0,
    -2.5,
    float("nan"),
    float("inf"),
    1e30,
    True,
    "",
    "silu",
    "relu2",
    "yarn",
    "longrope",
    "\x00",
    [1, 2, 3],
    [0.5] * 32,
    ["a", "b"],
    Typed(Kind.I32, []),
)
MORE_KEYS = (
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.attn_factor",
    "rope.dimension_count",
    "attention.sliding_window",
    "expert_count",
    "hidden_activation",
    "vocab_size",
)


def sound_models() -> list[tuple[dict[str, Any], dict[str, Tensor]]]:
    """Keys and tensors of one model of each architecture."""
    models = (
        (SameWeights("bitnet-b1.58"), "i2_s"),
        (SameWeights("llama"), "tq2_0"),
        (SameWeights("llama"), "f16"),
        (SameWeights("minicpm", scale_group=256), "tq1_0"),
        (SameWeights("qwen3", scale_group=128, has_ternary_tables=True), "q2_0_g128"),
    )
    return [(model.metadata(), model.tensors(layout)) for model, layout in models]


def changed(
    chance: random.Random, keys: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """One to three changes."""
    keys, tensors = dict(keys), dict(tensors)
    for _ in range(chance.randint(1, 3)):
        key, name = chance.choice(list(keys)), chance.choice(list(tensors))
        architecture = keys.get("general.architecture", "llama")
        tensor = tensors[name]
        match chance.randrange(8):
            case 0:
                del keys[key]
            case 1 | 2:
                keys[key] = chance.choice(VALUES)
            case 3:
                keys[f"{architecture}.{chance.choice(MORE_KEYS)}"] = chance.choice(VALUES)
            case 4:
                del tensors[name]
            case 5:
                tensors[chance.choice(["output.weight", "rope_freqs.weight", f"{name}s"])] = tensor
            case 6:
                content = bytearray(tensor.content)
                for _ in range(chance.randint(1, 40)):
                    content[chance.randrange(len(content))] = chance.randrange(256)
                tensors[name] = Tensor(tensor.type_id, tensor.shape, bytes(content))
            case _:
                type_id, _ = LAYOUTS[chance.choice(list(LAYOUTS))]
                shape = chance.choice([tensor.shape, tuple(reversed(tensor.shape)), (256,)])
                tensors[name] = Tensor(type_id, shape, tensor.content)
        if not keys or not tensors:
            break
    return keys, tensors


def run(content: bytes) -> str:
    """Open, and perhaps load, one file; say what came of it."""
    try:
        checkpoint = GgufCheckpoint(GgufFile.from_bytes(content, PATH))
        shape = checkpoint.shape
        checkpoint.table(checkpoint.embedding_name)
        checkpoint.table(checkpoint.head_name)
        for layer in range(shape.num_layers):
            for name in shape.linear_shapes:
                checkpoint.linear(layer, name)
            for name in shape.norm_sizes:
                checkpoint.norm(layer, name)
        if zlib.crc32(content) % 10:
            return "opened"
        load_model(checkpoint, CONFIG, Silent())
    except (LoadError, InvalidConfig) as error:
        return refused(error)
    return "loaded"


def mutate(data: bytes, rng: random.Random) -> bytes:
    """One to three changes to a sound model; what the file was before does not count."""
    return GgufWriter(*changed(rng, *rng.choice(_models()))).to_bytes()


def seeds() -> Sequence[bytes]:
    """The sound ones."""
    return [GgufWriter(*model).to_bytes() for model in _models()]


_models = cache(sound_models)

TARGET = Target(
    "gguf_models",
    lambda: run,
    mutate,
    seeds,
    guided_by=("tercet_engine.gguf", "tercet_engine.families"),
    max_bytes=1 << 20,
)
