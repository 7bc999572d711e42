"""The model that is measured: loaded below the engine's thread, without tokenizer or event loop.

What a bench times must be the model and the scheduler's step, and nothing that waits.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tercet_engine import (
    BLOCK_SIZE,
    SYNTHETIC_SHAPES,
    EngineConfig,
    FetchListener,
    ModelNotFound,
    ProgressListener,
)
from tercet_engine.checkpoint import Checkpoint
from tercet_engine.core import Runner
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.hub import find_model
from tercet_engine.model_loader import load_model
from tercet_engine.opened_model import open_checkpoint
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.synthetic import SyntheticWeights


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded model and the facts that its figures are judged by.

    Attributes:
        name: what was asked for.
        runner: computes batches.
        config: the engine's bounds; prefix cache and speculation are off, for nothing may be found
            done or guessed.
        vocab_size: token ids are below it.
        max_context: tokens of prompt and answer together.
        num_ternary_weights: multiplications per token, but for head and attention.
        weight_bytes: packed weights in memory.
        decode_bytes: bytes of weights read to compute one token, head included.
        kv_bytes_per_token: keys and values of one token, all layers.
        kernels: the kernel set in use.
        packing: how it keeps ternary weights.
        num_threads: worker threads in use.
        load_seconds: from the call to a model that is ready.
    """

    name: str
    runner: Runner
    config: EngineConfig
    vocab_size: int
    max_context: int
    num_ternary_weights: int
    weight_bytes: int
    decode_bytes: int
    kv_bytes_per_token: int
    kernels: str
    packing: str
    num_threads: int
    load_seconds: float


@dataclass(frozen=True, slots=True)
class NamedSource:
    """Where the weights will come from; nothing large is read yet."""

    name: str
    weights: SyntheticWeights | Checkpoint | GgufCheckpoint | PackedCheckpoint


def find_source(
    model: str | None, synthetic: str | None, fetching: FetchListener | None = None
) -> NamedSource:
    """Find a checkpoint, or random weights of a named shape.

    Args:
        model: a folder, a name on the Hub, or None for the embedded model.
        synthetic: name of a shape; then `model` is not looked at.
        fetching: is told how far fetching has come, if the model must be fetched.

    Raises:
        LoadError: there is none, or it is of no known kind.
    """
    if synthetic is None:
        folder = find_model(model, fetching)
        return NamedSource(folder.model_id, open_checkpoint(folder.path))
    if synthetic not in SYNTHETIC_SHAPES:
        message = f"{synthetic} is no synthetic shape; choose one of {', '.join(SYNTHETIC_SHAPES)}"
        raise ModelNotFound(message)
    return NamedSource(f"synthetic {synthetic}", SyntheticWeights(SYNTHETIC_SHAPES[synthetic]))


def load_subject(
    source: NamedSource,
    config: EngineConfig,
    progress: ProgressListener,
    clock: Callable[[], float] = time.perf_counter,
) -> Subject:
    """Pack the weights for this machine.

    Args:
        source: found by `find_source`.
        config: the engine's bounds.
        progress: is told how far loading has come.
        clock: seconds.

    Raises:
        LoadError: it cannot be loaded; the message says why.
    """
    start = clock()
    loaded = load_model(source.weights, config, progress)
    load_seconds = clock() - start
    shape, plan, model = source.weights.shape, loaded.plan, loaded.runner.model
    return Subject(
        name=source.name,
        runner=loaded.runner,
        config=config,
        vocab_size=shape.vocab_size,
        max_context=plan.max_context,
        num_ternary_weights=shape.num_ternary_weights,
        weight_bytes=model.weight_bytes,
        decode_bytes=model.decode_bytes,
        kv_bytes_per_token=plan.kv_cache_bytes // (plan.num_blocks * BLOCK_SIZE),
        kernels=model.kernels,
        packing=model.packing,
        num_threads=model.num_threads,
        load_seconds=load_seconds,
    )
