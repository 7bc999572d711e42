"""Inspect whatever lies at a path."""

from pathlib import Path

from tercet_engine.config import EngineConfig
from tercet_engine.errors import InvalidConfig, LoadError
from tercet_engine.inspection.folder import inspect_folder
from tercet_engine.inspection.gguf import inspect_file
from tercet_engine.inspection.report import MemoryFacts, ModelReport
from tercet_engine.memory_plan import largest_context, plan_memory, workspace_bytes
from tercet_engine.model_shape import ModelShape
from tercet_engine.resources import usable_memory_bytes


def inspect_model(
    path: Path, name: str, config: EngineConfig, *, reads_codes: bool = False
) -> ModelReport:
    """Tell what is at a path, and whether it can be served here with these settings.

    Reads headers and small files, and a few rows of one matrix at most; with `reads_codes` all I2_S
    weights of a GGUF file besides.

    Raises:
        InvalidConfig: the settings cannot be, whatever memory there were.
        OSError: what is there cannot be read.
    """
    report = ModelReport(name, path)
    if path.is_dir():
        inspect_folder(report)
    else:
        inspect_file(report, reads_codes=reads_codes)
    if report.shape is not None:
        _plan(report, report.shape, config)
    return report


def _plan(report: ModelReport, shape: ModelShape, config: EngineConfig) -> None:
    """Sum the memory, and refuse what does not fit as loading would."""
    from tercet_engine.model_loader import needs_of  # noqa: PLC0415 -- needs the extension

    try:
        needs = needs_of(shape, config)
    except LoadError as error:
        report.refuse_for(error)
        return
    context = min(config.max_context or shape.max_context, shape.max_context)
    usable_bytes = usable_memory_bytes()
    kv_bytes_per_token = needs.block_bytes // config.block_size
    report.memory = MemoryFacts(
        context=context,
        weight_bytes=needs.weight_bytes,
        kv_bytes_per_token=kv_bytes_per_token,
        kv_cache_bytes=kv_bytes_per_token * context,
        workspace_bytes=workspace_bytes(shape, config, context),
        usable_bytes=usable_bytes,
        largest_context=largest_context(
            shape,
            config,
            weight_bytes=needs.weight_bytes,
            block_bytes=needs.block_bytes,
            usable_bytes=usable_bytes,
        ),
    )
    try:
        plan_memory(
            shape,
            config,
            weight_bytes=needs.weight_bytes,
            block_bytes=needs.block_bytes,
            usable_bytes=usable_bytes,
        )
    except InvalidConfig:
        raise
    except LoadError as error:
        report.refuse_for(error)
