"""From a checkpoint, or from random weights, to a model that runs.

Tensors go to C++ one at a time: each is packed for the chosen kernels and forgotten, so the most
memory ever held is the packed model and one tensor.
"""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from tercet_engine import _core
from tercet_engine.checkpoint import Float32Array
from tercet_engine.config import AUTO_PACKING, MAPPED_PACKING, EngineConfig
from tercet_engine.errors import (
    CheckpointError,
    KernelUnavailable,
    OutOfMemory,
    SelfTestFailed,
    UnsupportedModel,
)
from tercet_engine.grid import TensorGrid, common_group
from tercet_engine.kernel_trial import try_kernels
from tercet_engine.memory_plan import MemoryPlan, plan_memory
from tercet_engine.memory_sharing import MemoryNeeds
from tercet_engine.model_runner import ModelRunner
from tercet_engine.model_shape import ModelShape
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.fill import fill_packed
from tercet_engine.progress import ProgressListener
from tercet_engine.resources import usable_cpus, usable_memory_bytes
from tercet_engine.tensor_source import TensorSource

_logger = logging.getLogger(__name__)

# Kernel sets that are tested by emulation, as machines that run them are rare. If one of them fails
# its self-test and nobody asked for it by name, the next best set serves instead.
_REPLACEABLE: Final = frozenset({"amx"})


_AS_THEY_ARE: Final = (
    "num_layers",
    "hidden_size",
    "intermediate_size",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "vocab_size",
    "max_context",
    "rms_norm_eps",
    "activation",
    "has_sub_norms",
    "has_head_norms",
    "linear_norm_eps",
    "embedding_scale",
    "residual_scale",
    "logit_scale",
    "weight_group",
    "activation_group",
    "has_two_terms",
)


class WeightSource(Protocol):
    """Gives a model's tensors by our names: a `Checkpoint`, or random ones."""

    @property
    def shape(self) -> ModelShape:
        """The model's sizes."""

    @property
    def needs_grid(self) -> bool:
        """Whether the weights are plain numbers, whose grid is yet to be found."""

    def with_shape(self, shape: ModelShape) -> "WeightSource":
        """The same source with a shape that tells more."""

    @property
    def num_bytes(self) -> int:
        """Bytes of all tensors, for the progress."""

    @property
    def embedding_name(self) -> str:
        """Name of the embedding."""

    @property
    def head_name(self) -> str:
        """Name of the tensor that is the output head."""

    def norm_name(self, layer: int, name: str) -> str:
        """Name of a norm."""

    def linear_name(self, layer: int, name: str) -> str:
        """Name of a linear layer."""

    def bias_name(self, layer: int, name: str) -> str:
        """Name of what a linear layer adds."""

    def norm(self, layer: int, name: str) -> Float32Array:
        """A norm's gains; layer -1: the final one's."""

    def linear(self, layer: int, name: str) -> TensorSource:
        """A ternary matrix."""

    def bias(self, layer: int, name: str) -> Float32Array:
        """What a linear layer of `shape.biases` adds."""

    def table(self, name: str) -> TensorSource:
        """The embedding or the head."""

    def num_bytes_of(self, name: str) -> int:
        """Bytes of one tensor."""

    def crc32(self, name: str) -> int:
        """Checksum of one tensor."""

    def forget(self, name: str) -> None:
        """One tensor is packed; its source may be given back."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that runs, and what is worth knowing of it.

    Attributes:
        runner: computes.
        shape: with the grid that its weights proved to be on.
        plan: of its memory.
        fingerprint: of all that decides an answer.
    """

    runner: ModelRunner
    shape: ModelShape
    plan: MemoryPlan
    fingerprint: str


def load_model(
    source: WeightSource | PackedCheckpoint, config: EngineConfig, progress: ProgressListener
) -> LoadedModel:
    """Pack a model for this machine; a converted one is taken as it lies, if no packing is asked.

    Raises:
        LoadError: a tensor is damaged, the memory is too small, or the kernels cannot run.
    """
    kernels = choose_kernels(config.kernels)
    in_place = config.packing == MAPPED_PACKING
    config = _kept_as_it_lies(source, config, kernels)
    if not isinstance(source, PackedCheckpoint) and source.needs_grid:
        source = source.with_shape(find_grid(source, progress))
    source = source.with_shape(rounded_as_asked(source.shape, config))
    check_packing(config.packing, kernels, source.shape)
    sizes = core_config(source.shape)
    plan = plan_memory(
        source.shape,
        config,
        weight_bytes=_weight_bytes(source.shape, sizes, kernels, config),
        block_bytes=_core.KVCache.block_bytes(sizes, kind=config.kv_type),
        usable_bytes=usable_memory_bytes(),
    )
    try:
        return _build(source, config, kernels, plan, progress, in_place=in_place)
    except (MemoryError, RuntimeError) as error:  # what C++ throws if the system gives no more
        message = f"the system refused memory or threads while the model was built: {error}"
        raise OutOfMemory(message) from error


def memory_needs(source: WeightSource | PackedCheckpoint, config: EngineConfig) -> MemoryNeeds:
    """What a model will need of the memory; nothing large is read for it.

    Of a model whose grid is yet to be found it is the most that it can come to.

    Raises:
        LoadError: its sizes are unknown here, or the kernels cannot run.
    """
    kernels = choose_kernels(config.kernels)
    config = _kept_as_it_lies(source, config, kernels)
    shape = replace(source.shape, weight_group=64) if source.needs_grid else source.shape
    check_packing(config.packing, kernels, shape)
    return _needs(shape, config, kernels)


def needs_of(shape: ModelShape, config: EngineConfig) -> MemoryNeeds:
    """The same for a model of which only the shape is known.

    Raises:
        LoadError: this machine cannot run the kernels, or they cannot compute such a model.
    """
    return _needs(shape, config, choose_kernels(config.kernels))


def _needs(shape: ModelShape, config: EngineConfig, kernels: str) -> MemoryNeeds:
    shape = rounded_as_asked(shape, config)
    sizes = core_config(shape)
    return MemoryNeeds(
        shape,
        weight_bytes=_weight_bytes(shape, sizes, kernels, config),
        block_bytes=_core.KVCache.block_bytes(sizes, kind=config.kv_type),
    )


def _build(
    source: WeightSource | PackedCheckpoint,
    config: EngineConfig,
    kernels: str,
    plan: MemoryPlan,
    progress: ProgressListener,
    *,
    in_place: bool,
) -> LoadedModel:
    builder = _core.ModelBuilder(
        core_config(replace(source.shape, max_context=plan.max_context)),
        kernels=kernels,
        head=head_kind(source.shape, config),
        packing=config.packing,
        num_threads=config.num_threads or usable_cpus(),
        max_batch_tokens=config.max_batch_tokens,
        max_batch_chunks=config.max_sequences,
    )
    progress.start(source.num_bytes)
    facts: Mapping[str, float]
    if isinstance(source, PackedCheckpoint):
        head = head_kind(source.shape, config)
        fill_packed(builder, source, head, progress, in_place=in_place)
        facts = source.facts
    else:
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
        shape=source.shape,
        plan=plan,
        fingerprint=_fingerprint(source.shape, plan.max_context, facts, config),
    )


def rounded_as_asked(shape: ModelShape, config: EngineConfig) -> ModelShape:
    """The shape with activations rounded as the config asks, where the model leaves it open."""
    is_open = shape.activation_group != 0
    return replace(shape, has_two_terms=is_open and config.activations == "int16")


def head_kind(shape: ModelShape, config: EngineConfig) -> str:
    """How the output head is kept: as asked for, but a ternary one stays ternary unless in bf16."""
    return "ternary" if shape.has_ternary_head and config.head == "int8" else config.head


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


def kernel_verdicts() -> dict[str, str | None]:
    """Each kernel set that this CPU can run, best first, and how it differs from the reference.

    None: it does not. Those that may not run at all are tried in a process of their own.
    """
    verdicts: dict[str, str | None] = {}
    for name in _core.supported_kernels():
        is_rare = name in _REPLACEABLE
        problem = try_kernels(name, Path(_core.__file__)) if is_rare else None
        verdicts[name] = problem or _core.self_test(name)
    return verdicts


def cpu_features() -> list[str]:
    """The instruction sets found that some kernel set asks for."""
    return _core.cpu_features()


def check_packing(name: str, kernels: str, shape: ModelShape) -> None:
    """Check that a kernel set can keep a model's weights so.

    Raises:
        KernelUnavailable: it cannot; the message says what it can.
    """
    is_grouped = bool(shape.weight_group or shape.activation_group)
    known = _core.packings(kernels, grouped=is_grouped)
    if name not in (AUTO_PACKING, *known):
        kind = " for weights in groups" if is_grouped else ""
        message = (
            f"packing {name}: kernels {kernels} do not have it{kind}; choose {AUTO_PACKING} or one "
            f"of {', '.join(known)}"
        )
        raise KernelUnavailable(message)


def _kept_as_it_lies(
    source: WeightSource | PackedCheckpoint, config: EngineConfig, kernels: str
) -> EngineConfig:
    """The config with the packing of a converted model's files, unless another is asked for.

    Raises:
        KernelUnavailable: the weights are to be used where they are mapped, and cannot be.
    """
    if config.packing not in (AUTO_PACKING, MAPPED_PACKING):
        return config
    if not isinstance(source, PackedCheckpoint):
        if config.packing == AUTO_PACKING:
            return config
        message = (
            f"packing {MAPPED_PACKING} is of converted models, and this is none; see "
            "`tercet convert`"
        )
        raise KernelUnavailable(message)
    is_grouped = bool(source.shape.weight_group or source.shape.activation_group)
    own = _core.tiles_packing(kernels, grouped=is_grouped)
    if own is None and config.packing == MAPPED_PACKING:
        message = f"packing {MAPPED_PACKING}: kernels {kernels} do not use weights where they lie"
        raise KernelUnavailable(message)
    return replace(config, packing=own or AUTO_PACKING)


def core_config(shape: ModelShape) -> _core.ModelConfig:
    """Tell C++ of a shape. Raises `UnsupportedModel` if it cannot be computed."""
    try:
        return _core.ModelConfig(
            **{name: getattr(shape, name) for name in _AS_THEY_ARE},
            rope_frequencies=shape.rope.frequencies(shape.head_dim, shape.max_context).tolist(),
            rope_scale=shape.rope.scale,
        )
    except ValueError as error:
        message = f"the model's sizes are not supported: {error}"
        raise UnsupportedModel(message) from error


def _weight_bytes(
    shape: ModelShape, sizes: _core.ModelConfig, kernels: str, config: EngineConfig
) -> int:
    """Bytes of packed weights, at most; a bf16 head is a map of the file, but all of it is read."""
    head = head_kind(shape, config)
    table = shape.vocab_size * shape.hidden_size * 2 if head == "bf16" else 0
    return table + _core.ModelBuilder.weight_bytes(
        sizes, kernels=kernels, head=head, packing=config.packing
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

    embedding = source.embedding_name
    builder.set_embedding(core_source(source.table(embedding)))
    _set(builder.set_head, source.head_name, source.table(source.head_name))
    for name in dict.fromkeys((embedding, source.head_name)):
        done(name)
    builder.set_norm(-1, "final", source.norm(-1, "final"))
    done(source.norm_name(-1, "final"))
    for layer in range(source.shape.num_layers):
        for name in source.shape.norm_sizes:
            builder.set_norm(layer, name, source.norm(layer, name))
            done(source.norm_name(layer, name))
        for name in source.shape.linear_shapes:
            tensor = source.linear_name(layer, name)
            linear = source.linear(layer, name)
            facts[f"{tensor}: scale"] = _set(
                partial(builder.set_linear, layer, name), tensor, linear
            )
            if name in source.shape.biases:
                builder.set_bias(layer, name, source.bias(layer, name))
                done(source.bias_name(layer, name))
            done(tensor)
    return facts


def _set(setter: Callable[[_core.TensorSource], None], tensor: str, source: TensorSource) -> float:
    try:
        setter(core_source(source))
    except ValueError as error:  # a code that means no weight, say
        message = f"{tensor}: {error}"
        raise CheckpointError(message) from error
    return source.scale


def find_grid(source: WeightSource, progress: ProgressListener) -> ModelShape:
    """Find the grid that a model of plain numbers is on; all its weights are read.

    Raises:
        UnsupportedModel: it is not ternary.
        CheckpointError: a number is not finite.
    """
    shape = source.shape
    num_threads = usable_cpus()
    progress.start(source.num_bytes)

    def grid_of(name: str, matrix: TensorSource) -> TensorGrid:
        try:
            off_grid = core_source(matrix).count_off_grid(num_threads)
        except ValueError as error:
            message = f"{name}: {error}"
            raise CheckpointError(message) from error
        source.forget(name)
        progress.advance(source.num_bytes_of(name), f"is {name} ternary?")
        return TensorGrid(name, matrix.rows * matrix.cols, off_grid)

    grids = []
    for layer in range(shape.num_layers):
        for name in shape.linear_shapes:
            tensor = source.linear_name(layer, name)
            grids.append(grid_of(tensor, source.linear(layer, name)))
            common_group(grids[-1:])  # one that is not ternary ends it here
    group = common_group(grids)
    head = grid_of(source.head_name, source.table(source.head_name))
    progress.finish()
    num_off = sum(grid.off_grid[group] for grid in grids)
    if num_off:
        _logger.warning(
            "%d of %d weights are on no grid; they are kept as they are, beside the ternary ones",
            num_off,
            shape.num_ternary_weights,
        )
    return replace(shape, weight_group=group, has_ternary_head=head.fits(group))


def core_source(source: TensorSource) -> _core.TensorSource:
    """Tell C++ of a matrix. Raises `ValueError` if there are too few bytes."""
    fields = {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}
    return _core.TensorSource(**fields)


def _fingerprint(
    shape: ModelShape, max_context: int, facts: Mapping[str, float], config: EngineConfig
) -> str:
    """Name everything that decides an answer: sizes, weights, how some are kept, the arithmetic.

    Where positions are stretched for long contexts only, the context decides too.
    """
    kinds = [head_kind(shape, config), config.kv_type]
    turns = shape.rope.frequencies(shape.head_dim, max_context).tolist()
    everything = [asdict(shape), turns, sorted(facts.items()), kinds, _core.NUMERICS_VERSION]
    digest = hashlib.blake2b(json.dumps(everything).encode(), digest_size=8)
    return f"tc-{digest.hexdigest()}"


def measure_bandwidth(num_threads: int, num_bytes: int = 1 << 30, num_rounds: int = 8) -> float:
    """Measure the bytes per second read from memory, with several streams per thread."""
    return _core.measure_bandwidth(num_threads, num_bytes, num_rounds)


def tell_of_lost_pages() -> None:
    """From now on end with a sentence when a page of a mapped file is gone."""
    _core.tell_of_lost_pages()


def supported_kernels() -> list[str]:
    """Names of the kernel sets that this CPU can run, best first."""
    return _core.supported_kernels()


def self_test(kernels: str) -> str | None:
    """Compare a kernel set with the reference; None when every bit agrees."""
    return _core.self_test(kernels)
