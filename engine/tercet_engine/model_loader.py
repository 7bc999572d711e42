"""From a checkpoint, or from random weights, to a model that runs.

Tensors go to C++ one at a time: each is packed for the chosen kernels and forgotten, so the most
memory ever held is the packed model and one tensor.
"""

import hashlib
import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from tercet_engine import _core
from tercet_engine.checkpoint import EMBEDDING, Float32Array, PackedLinear, UInt16Array
from tercet_engine.config import AUTO_PACKING, EngineConfig
from tercet_engine.errors import (
    CheckpointError,
    KernelUnavailable,
    OutOfMemory,
    SelfTestFailed,
    UnsupportedModel,
)
from tercet_engine.kernel_trial import try_kernels
from tercet_engine.memory_plan import MemoryPlan, plan_memory
from tercet_engine.model_runner import ModelRunner
from tercet_engine.model_shape import ModelShape
from tercet_engine.progress import ProgressListener
from tercet_engine.resources import usable_cpus, usable_memory_bytes

_logger = logging.getLogger(__name__)

# Kernel sets that are tested by emulation, as machines that run them are rare. If one of them fails
# its self-test and nobody asked for it by name, the next best set serves instead.
_REPLACEABLE: Final = frozenset({"amx"})


_SIZES: Final = (
    "num_layers",
    "hidden_size",
    "intermediate_size",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "vocab_size",
    "max_context",
    "rms_norm_eps",
)


class WeightSource(Protocol):
    """Gives a model's tensors by our names: a `Checkpoint`, or random ones."""

    @property
    def shape(self) -> ModelShape:
        """The model's sizes."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, for the progress."""

    @property
    def head_name(self) -> str:
        """Name of the tensor that is the output head."""

    def norm_name(self, layer: int, name: str) -> str:
        """Name of a norm."""

    def linear_name(self, layer: int, name: str) -> str:
        """Name of a linear layer."""

    def norm(self, layer: int, name: str) -> Float32Array:
        """A norm's gains; layer -1: the final one's."""

    def linear(self, layer: int, name: str) -> PackedLinear:
        """A ternary matrix."""

    def table(self, name: str) -> UInt16Array:
        """The embedding or the head."""

    def num_bytes_of(self, name: str) -> int:
        """Bytes of one tensor."""

    def crc32(self, name: str) -> int:
        """Checksum of one tensor."""

    def forget(self, name: str) -> None:
        """One tensor is packed; its source may be given back."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that runs, and what is worth knowing of it."""

    runner: ModelRunner
    plan: MemoryPlan
    fingerprint: str


def load_model(
    source: WeightSource, config: EngineConfig, progress: ProgressListener
) -> LoadedModel:
    """Pack a model for this machine.

    Raises:
        LoadError: a tensor is damaged, the memory is too small, or the kernels cannot run.
    """
    kernels = choose_kernels(config.kernels)
    check_packing(config.packing, kernels)
    sizes = core_config(source.shape)
    plan = plan_memory(
        source.shape,
        config,
        weight_bytes=_weight_bytes(source.shape, sizes, kernels, config),
        block_bytes=_core.KVCache.block_bytes(sizes, kind=config.kv_type),
        usable_bytes=usable_memory_bytes(),
    )
    try:
        return _build(source, config, kernels, plan, progress)
    except (MemoryError, RuntimeError) as error:  # what C++ throws if the system gives no more
        message = f"the system refused memory or threads while the model was built: {error}"
        raise OutOfMemory(message) from error


def _build(
    source: WeightSource,
    config: EngineConfig,
    kernels: str,
    plan: MemoryPlan,
    progress: ProgressListener,
) -> LoadedModel:
    builder = _core.ModelBuilder(
        core_config(replace(source.shape, max_context=plan.max_context)),
        kernels=kernels,
        head=config.head,
        packing=config.packing,
        num_threads=config.num_threads or usable_cpus(),
        max_batch_tokens=config.max_batch_tokens,
        max_batch_chunks=config.max_sequences,
    )
    progress.start(source.num_bytes)
    facts = _fill(builder, source, progress)
    model = builder.build()
    progress.finish()
    return LoadedModel(
        runner=ModelRunner(
            model,
            plan.num_blocks,
            kv_type=config.kv_type,
            touch_kv_cache=config.touch_kv_cache,
        ),
        plan=plan,
        fingerprint=_fingerprint(source.shape, facts, config),
    )


def choose_kernels(name: str) -> str:
    """Check that a kernel set ("": the best) runs here and agrees with the reference.

    Raises:
        KernelUnavailable: this build, or this CPU, does not have it.
        SelfTestFailed: it computes something else than the reference does.
    """
    supported = _core.supported_kernels()
    if name and name not in supported:
        known = _core.all_kernels()
        fault = "this CPU cannot run it" if name in known else "this build does not have it"
        message = f"kernels {name}: {fault}; choose one of {', '.join(supported)}"
        raise KernelUnavailable(message)
    chosen = name or supported[0]
    is_replaceable = not name and chosen in _REPLACEABLE
    problem = try_kernels(chosen, Path(_core.__file__)) if is_replaceable else None
    problem = problem or _core.self_test(chosen)
    if problem and is_replaceable:
        _logger.warning(
            "kernels %s do not agree with the reference on this machine (%s); %s serve instead",
            chosen,
            problem,
            supported[1],
        )
        chosen = supported[1]
        problem = _core.self_test(chosen)
    if problem:
        message = (
            f"kernels {chosen} do not agree with the reference on this machine ({problem}); "
            f"choose others, of {', '.join(supported)}"
        )
        raise SelfTestFailed(message)
    return chosen


def check_packing(name: str, kernels: str) -> None:
    """Check that a kernel set can keep weights so.

    Raises:
        KernelUnavailable: it cannot; the message says what it can.
    """
    known = _core.packings(kernels)
    if name not in (AUTO_PACKING, *known):
        message = (
            f"packing {name}: kernels {kernels} do not have it; choose {AUTO_PACKING} or one of "
            f"{', '.join(known)}"
        )
        raise KernelUnavailable(message)


def core_config(shape: ModelShape) -> _core.ModelConfig:
    """Tell C++ of a shape. Raises `UnsupportedModel` if it cannot be computed."""
    try:
        sizes = {name: getattr(shape, name) for name in _SIZES}
        return _core.ModelConfig(**sizes, rope_theta=shape.rope.theta)
    except ValueError as error:
        message = f"the model's sizes are not supported: {error}"
        raise UnsupportedModel(message) from error


def _weight_bytes(
    shape: ModelShape, sizes: _core.ModelConfig, kernels: str, config: EngineConfig
) -> int:
    """Bytes of packed weights, at most; a bf16 head is a map of the file, but all of it is read."""
    table = shape.vocab_size * shape.hidden_size * 2 if config.head == "bf16" else 0
    return table + _core.ModelBuilder.weight_bytes(
        sizes, kernels=kernels, head=config.head, packing=config.packing
    )


def _fill(
    builder: _core.ModelBuilder, source: WeightSource, progress: ProgressListener
) -> dict[str, float]:
    """Hand every tensor to the builder; return their checksums and scales."""
    facts: dict[str, float] = {}

    def done(name: str) -> None:
        facts[name] = source.crc32(name)
        source.forget(name)
        progress.advance(source.num_bytes_of(name), name)

    builder.set_embedding(source.table(EMBEDDING))
    builder.set_head(source.table(source.head_name))
    for name in dict.fromkeys((EMBEDDING, source.head_name)):
        done(name)
    builder.set_norm(-1, "final", source.norm(-1, "final"))
    done(source.norm_name(-1, "final"))
    for layer in range(source.shape.num_layers):
        for name in source.shape.norm_sizes:
            builder.set_norm(layer, name, source.norm(layer, name))
            done(source.norm_name(layer, name))
        for name in source.shape.linear_shapes:
            tensor = source.linear_name(layer, name)
            facts[f"{tensor}: scale"] = _set_linear(builder, source, layer, name)
            done(tensor)
    return facts


def _set_linear(builder: _core.ModelBuilder, source: WeightSource, layer: int, name: str) -> float:
    linear = source.linear(layer, name)
    try:
        builder.set_linear(layer, name, linear.codes, linear.scale)
    except ValueError as error:  # a code that means no weight
        message = f"{source.linear_name(layer, name)}: {error}"
        raise CheckpointError(message) from error
    return linear.scale


def _fingerprint(shape: ModelShape, facts: dict[str, float], config: EngineConfig) -> str:
    """Name everything that decides an answer: sizes, weights, how some are kept, the arithmetic."""
    kinds = [config.head, config.kv_type]
    everything = [asdict(shape), sorted(facts.items()), kinds, _core.NUMERICS_VERSION]
    digest = hashlib.blake2b(json.dumps(everything).encode(), digest_size=8)
    return f"tc-{digest.hexdigest()}"


def measure_bandwidth(num_threads: int, num_bytes: int = 1 << 30, num_rounds: int = 8) -> float:
    """Measure the bytes per second read from memory, with several streams per thread."""
    return _core.measure_bandwidth(num_threads, num_bytes, num_rounds)


def supported_kernels() -> list[str]:
    """Names of the kernel sets that this CPU can run, best first."""
    return _core.supported_kernels()


def self_test(kernels: str) -> str | None:
    """Compare a kernel set with the reference; None when every bit agrees."""
    return _core.self_test(kernels)


def memory_needs(shape: ModelShape, config: EngineConfig) -> dict[str, int]:
    """What `plan_memory` asks for beside the sizes, without loading anything.

    Raises:
        LoadError: this machine cannot run the kernels, or they cannot compute such a model.
    """
    sizes = core_config(shape)
    kernels = choose_kernels(config.kernels)
    return {
        "weight_bytes": _weight_bytes(shape, sizes, kernels, config),
        "block_bytes": _core.KVCache.block_bytes(sizes, kind=config.kv_type),
        "usable_bytes": usable_memory_bytes(),
    }
