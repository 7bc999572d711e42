"""Where is the model? A folder, a name on the Hugging Face Hub, or the one inside this package."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import huggingface_hub

from tercet_engine.errors import ModelNotFound, UnsupportedModel

EMBEDDED_MODEL: Final = Path(__file__).parent / "models" / "tercet-tiny"
FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
)
"""All that is fetched of a repository: no code, no other formats."""

_HUB_NAME: Final = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>[\w./-]+))?")

Downloader = Callable[..., Any]
"""Called like `huggingface_hub.snapshot_download`; returns the folder."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files, and the name to serve it under."""

    path: Path
    model_id: str


def find_model(
    model: str | Path | None, download: Downloader = huggingface_hub.snapshot_download
) -> ModelFolder:
    """Find a model's folder, fetching it where it is a name on the Hub.

    Args:
        model: a folder, "org/name" or "org/name@revision", or None for the embedded model.
        download: fetches from the Hub, showing its own progress bar.

    Raises:
        ModelNotFound: there is no such folder, or it cannot be fetched.
        UnsupportedModel: it is a single file.
    """
    if model is None or model == EMBEDDED_MODEL.name:
        return ModelFolder(EMBEDDED_MODEL, EMBEDDED_MODEL.name)
    path = Path(model).expanduser()
    if path.is_dir() and model != "":
        if not (path / "config.json").is_file():
            message = f"{path} holds no checkpoint: its config.json is missing"
            raise ModelNotFound(message)
        return ModelFolder(path, path.resolve().name)
    if path.is_file() and path.suffix.lower() == ".gguf":
        return ModelFolder(path, path.stem)
    if path.is_file():
        message = f"{model} is a file; give the folder of a checkpoint in the Hugging Face layout"
        raise UnsupportedModel(message)
    if isinstance(model, Path) or not (match := _HUB_NAME.fullmatch(model)):
        message = (
            f"{model} is neither a folder nor a name on the Hugging Face Hub (org/name); "
            f"without a name the embedded model, {EMBEDDED_MODEL.name}, is served"
        )
        raise ModelNotFound(message)
    return ModelFolder(_fetch(match["name"], match["revision"], download), match["name"])


def _fetch(name: str, revision: str | None, download: Downloader) -> Path:
    try:
        return Path(download(name, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:  # of many kinds: HTTP, network, cache, and the library's own
        at = f" at revision {revision}" if revision else ""
        message = (
            f"{name}{at} is no folder here, and it could not be fetched from the Hugging Face Hub "
            f"({type(error).__name__}: {_first_line(error)}). Check the name and the network, or "
            f"fetch it elsewhere with `hf download {name}` and give the folder"
        )
        raise ModelNotFound(message) from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no details")[:300]
