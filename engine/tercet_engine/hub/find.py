"""From what a user names to what is on the disk."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tercet_engine.errors import ModelNotFound, UnsupportedModel
from tercet_engine.gguf import is_gguf
from tercet_engine.hub.cache import find_cached
from tercet_engine.hub.choice import ANYTHING
from tercet_engine.hub.fetch import fetch_model
from tercet_engine.hub.listener import FetchListener, SilentFetch
from tercet_engine.hub.names import HubName, parse_hub_name

_MAX_PATH_CHARS: Final = 4096
_MAX_SHOWN_CHARS: Final = 500
EMBEDDED_MODEL: Final = Path(__file__).parents[1] / "models" / "tercet-tiny"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model's files, and the name to serve it under; `path` is a folder or a GGUF file."""

    path: Path
    model_id: str


def find_model(
    model: str | Path | None, listener: FetchListener | None = None, *, offline: bool = False
) -> ModelFolder:
    """Find a model, fetching it where it is a name on the Hub.

    Args:
        model: a folder, a GGUF file, a name on the Hub (see `names.py`), or None: the embedded
            model.
        listener: is told how far fetching has come.
        offline: take what is on the disk and ask no network.

    Raises:
        ModelNotFound: there is no such folder, file or name.
        FetchFailed: it could not be brought here.
        UnsupportedModel: it is another file.
    """
    found = locate_model(model, listener, offline=offline)
    with _faults_in_words(found.path):
        if found.path.is_file():
            if is_gguf(found.path):
                return found
            message = (
                f"{found.path} is a file and no GGUF file; give one, or the folder of a checkpoint "
                "in the Hugging Face layout"
            )
            raise UnsupportedModel(message)
        if not (found.path / "config.json").is_file():
            message = f"{found.path} holds no checkpoint: its config.json is missing"
            raise ModelNotFound(message)
    return found


def locate_model(
    model: str | Path | None, listener: FetchListener | None = None, *, offline: bool = False
) -> ModelFolder:
    """The same for whatever lies there: also a file, or a folder that holds no checkpoint."""
    if model is None or model == EMBEDDED_MODEL.name:
        return ModelFolder(EMBEDDED_MODEL, EMBEDDED_MODEL.name)
    path = _expanded(model)
    if model != "" and len(str(path)) < _MAX_PATH_CHARS:
        with _faults_in_words(path):
            if path.exists():
                is_file = path.is_file() and is_gguf(path)
                return ModelFolder(path, path.stem if is_file else path.resolve().name)
    name_on_hub = parse_hub_name(model) if isinstance(model, str) else None
    if name_on_hub is None:
        shown = str(model) if len(str(model)) <= _MAX_SHOWN_CHARS else "a name that long"
        message = (
            f"{shown or 'an empty name'} is neither a folder nor a name on the Hugging Face Hub "
            f"(org/name); without a name the embedded model, {EMBEDDED_MODEL.name}, is served"
        )
        raise ModelNotFound(message)
    return ModelFolder(_on_disk(name_on_hub, listener, offline=offline), name_on_hub.repo)


def _expanded(model: str | Path) -> Path:
    """The path with its ~ replaced; as it is where nobody has a home."""
    path = Path(model)
    try:
        return path.expanduser()
    except RuntimeError:  # no HOME, or nobody of that name
        return path


@contextlib.contextmanager
def _faults_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL, which no name has
        reason = getattr(error, "strerror", None) or str(error)
        message = (
            f"{path} cannot be read: {reason}; check the path, and that this user may read the "
            "folder and everything on the way to it"
        )
        raise ModelNotFound(message) from error


def _on_disk(name: HubName, listener: FetchListener | None, *, offline: bool) -> Path:
    if not offline:
        return fetch_model(name, ANYTHING, listener or SilentFetch())
    cached = find_cached(name)
    if cached is None:
        message = f"{name} is not on this disk; fetch it with `tercet pull {name}`"
        raise ModelNotFound(message)
    return cached
