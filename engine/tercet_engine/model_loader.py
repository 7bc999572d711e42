"""From a checkpoint, or from random weights, to a model that runs.

Tensors go to C++ one at a time: each is packed for the chosen kernels and forgotten, so the most
memory ever held is the packed model and one tensor.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from tercet_engine import _core
from tercet_engine.config import MAPPED_PACKING, EngineConfig
from tercet_engine.core_words import core_config, core_source, head_kind, rounded_as_asked
from tercet_engine.errors import CheckpointError, KernelUnavailable, OutOfMemory
from tercet_engine.fingerprint import fingerprint_of
from tercet_engine.grid_search import find_grid
from tercet_engine.kernel_choice import check_packing, choose_kernels, packing_of_tiles
from tercet_engine.memory_plan import MemoryPlan, plan_memory
from tercet_engine.memory_sharing import MemoryNeeds
from tercet_engine.model_runner import ModelRunner
from tercet_engine.model_shape import ModelShape
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.fill import fill_packed
from tercet_engine.progress import ProgressListener
from tercet_engine.resources import usable_cpus, usable_memory_bytes
from tercet_engine.tensor_source import TensorSource
from tercet_engine.weight_source import WeightSource


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
        fingerprint=fingerprint_of(
            source.shape, plan.max_context, facts, config, _core.NUMERICS_VERSION
        ),
    )


def _kept_as_it_lies(
    source: WeightSource | PackedCheckpoint, config: EngineConfig, kernels: str
) -> EngineConfig:
    """The config with the packing of a converted model's files, unless another is asked for.

    Raises:
        KernelUnavailable: the weights are to be used where they are mapped, and cannot be.
    """
    if isinstance(source, PackedCheckpoint):
        return packing_of_tiles(source.shape, config, kernels)
    if config.packing == MAPPED_PACKING:
        message = (
            f"packing {MAPPED_PACKING} is of converted models, and this is none; see "
            "`tercet convert`"
        )
        raise KernelUnavailable(message)
    return config


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
