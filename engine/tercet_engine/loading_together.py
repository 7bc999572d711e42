"""From several models to their engines, one after the other, once all are known to fit."""

from collections.abc import Callable, Mapping, Sequence

from tercet_engine.async_engine import AsyncEngine
from tercet_engine.config import EngineConfig
from tercet_engine.hub import ModelFolder
from tercet_engine.loading import load_engine
from tercet_engine.memory_sharing import share_memory
from tercet_engine.opened_model import open_checkpoint
from tercet_engine.progress import ProgressListener
from tercet_engine.resources import usable_memory_bytes

ProgressOf = Callable[[str], ProgressListener | None]
"""Who is told how far the loading of the model of that name has come."""


def load_engines(
    models: Mapping[str, ModelFolder], config: EngineConfig, progress_of: ProgressOf
) -> list[AsyncEngine]:
    """Load models and start their engines. Each gets a thread, workers and a KV cache of its own.

    Args:
        models: what `find_model` found, by the names that messages call them by.
        config: the bounds of each engine.
        progress_of: is asked once for each model.

    Returns:
        The engines in the order of the models.

    Raises:
        LoadError: one of them cannot be loaded, or they do not fit together. None is left running.
    """
    configs = _configs(models, config)
    engines: list[AsyncEngine] = []
    try:
        for (name, folder), own in zip(models.items(), configs, strict=True):
            engines.append(load_engine(folder, own, progress=progress_of(name)))
    except BaseException:
        for engine in engines:
            engine.close()
        raise
    return engines


def _configs(models: Mapping[str, ModelFolder], config: EngineConfig) -> Sequence[EngineConfig]:
    """The config of each; one alone makes its own plan when it is loaded."""
    from tercet_engine.model_loader import memory_needs  # noqa: PLC0415 -- imports the extension

    if len(models) == 1:
        return [config]
    needs = [
        (name, memory_needs(open_checkpoint(folder.path), config))
        for name, folder in models.items()
    ]
    return share_memory(needs, config, usable_memory_bytes())
