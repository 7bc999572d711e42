"""From the name of a model to an engine that serves it.

The extension is imported by the functions here and not before: streams, errors and settings can be
used, and tested, without it.
"""

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tercet_engine.async_engine import AsyncEngine
from tercet_engine.chat_template import ChatTemplate
from tercet_engine.completion import EngineInfo, GenerationDefaults
from tercet_engine.config import EngineConfig
from tercet_engine.errors import ModelNotFound
from tercet_engine.hub import EMBEDDED_MODEL, FetchListener, ModelFolder, find_model
from tercet_engine.opened_model import open_model
from tercet_engine.progress import ProgressListener, Silent
from tercet_engine.synthetic import SHAPES, SyntheticWeights
from tercet_engine.tokenizer import Tokenizer

if TYPE_CHECKING:
    from tercet_engine.model_loader import LoadedModel


def load_engine(
    model: str | Path | ModelFolder | None = None,
    config: EngineConfig | None = None,
    *,
    progress: ProgressListener | None = None,
    fetching: FetchListener | None = None,
) -> AsyncEngine:
    """Load a model and start its engine.

    Args:
        model: a checkpoint's folder, a GGUF file, a name on the Hugging Face Hub ("org/name" or
            "org/name@revision"), or None for the model inside this package; or what `find_model`
            found.
        config: the engine's bounds.
        progress: is told how far loading has come.
        fetching: is told how far fetching has come, if the model must be fetched.

    Raises:
        LoadError: the model is not there, is damaged, unknown, or too large for this machine.
    """
    from tercet_engine.model_loader import load_model  # noqa: PLC0415 -- see the module's docstring

    config = config or EngineConfig()
    folder = model if isinstance(model, ModelFolder) else find_model(model, fetching)
    opened = open_model(folder.path)
    loaded = load_model(opened.checkpoint, config, progress or Silent())
    info = _info(folder.model_id, loaded, opened.stop_token_ids, opened.generation_defaults)
    fingerprint = _fingerprint(info, opened.tokenizer, opened.chat_template)
    info = dataclasses.replace(info, fingerprint=fingerprint)
    return AsyncEngine(loaded.runner, config, info, opened.tokenizer, opened.chat_template)


def load_synthetic_engine(
    shape: str, config: EngineConfig | None = None, *, progress: ProgressListener | None = None
) -> AsyncEngine:
    """Start an engine over random weights of a named shape, to measure a machine.

    Its tokenizer is the embedded model's; the text it writes means nothing, and it never ends an
    answer by itself.

    Raises:
        LoadError: there is no such shape, or it is too large for this machine.
    """
    from tercet_engine.model_loader import load_model  # noqa: PLC0415 -- see the module's docstring

    if shape not in SHAPES:
        message = f"{shape} is no synthetic shape; choose one of {', '.join(SHAPES)}"
        raise ModelNotFound(message)
    config = config or EngineConfig()
    weights = SyntheticWeights(SHAPES[shape])
    tokenizer = Tokenizer.from_folder(EMBEDDED_MODEL)
    loaded = load_model(weights, config, progress or Silent())
    info = _info(f"synthetic-{shape}", loaded, frozenset(), GenerationDefaults())
    return AsyncEngine(loaded.runner, config, info, tokenizer)


def measure_bandwidth(num_threads: int) -> float:
    """Measure the bytes per second read from memory, with several streams per thread."""
    from tercet_engine import machine  # noqa: PLC0415 -- see the module's docstring

    return machine.measure_bandwidth(num_threads)


def tell_of_lost_pages() -> None:
    """From now on say in a sentence why the process ends when a file it has mapped is cut short.

    For programs of their own: it takes the process's SIGBUS.
    """
    from tercet_engine import machine  # noqa: PLC0415 -- see the module's docstring

    machine.tell_of_lost_pages()


def supported_kernels() -> list[str]:
    """Names of the kernel sets that this CPU can run, best first."""
    from tercet_engine import kernel_choice  # noqa: PLC0415 -- see the module's docstring

    return kernel_choice.supported_kernels()


def _fingerprint(info: EngineInfo, tokenizer: Tokenizer, template: ChatTemplate | None) -> str:
    """Name what stands between a request and its answer: the model, and what is around it."""
    around = [
        info.fingerprint,
        tokenizer.digest(),
        template.source if template else None,
        sorted(info.stop_token_ids),
        dataclasses.asdict(info.generation_defaults),
    ]
    digest = hashlib.blake2b(json.dumps(around).encode(), digest_size=8)
    return f"tc-{digest.hexdigest()}"


def _info(
    model_id: str,
    loaded: "LoadedModel",
    stop_token_ids: frozenset[int],
    defaults: GenerationDefaults,
) -> EngineInfo:
    model = loaded.runner.model
    return EngineInfo(
        model_id=model_id,
        created=int(time.time()),
        fingerprint=loaded.fingerprint,
        max_context_tokens=loaded.plan.max_context,
        vocab_size=loaded.shape.vocab_size,
        hidden_size=loaded.shape.hidden_size,
        kernels=model.kernels,
        packing=model.packing,
        num_threads=model.num_threads,
        stop_token_ids=stop_token_ids,
        generation_defaults=defaults,
        weight_bytes=model.weight_bytes,
        decode_bytes=model.decode_bytes,
        kv_cache_bytes=loaded.plan.kv_cache_bytes,
        workspace_bytes=loaded.plan.workspace_bytes,
    )
