"""The models on this disk: the embedded one, those in the Hub's cache, those in folders."""

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tercet_engine import EMBEDDED_MODEL, EngineConfig
from tercet_engine.hub.layout import COMMIT, RepoCache, cache_folder
from tercet_engine.hub.names import parse_hub_name
from tercet_engine.inspection import ModelReport, Verdict, inspect_model

_MAX_ENTRIES: Final = 10_000
"""Of one folder; whoever keeps more files in one means another folder."""
_SHORT: Final = 8


@dataclass(frozen=True, slots=True)
class Book:
    """One model.

    Attributes:
        name: to serve it by.
        revision: branches or tags that stand at it, else its commit; "": it has none.
        report: what it is.
    """

    name: str
    revision: str
    report: ModelReport


@dataclass(frozen=True, slots=True)
class Removable:
    """A repository in the cache, and the disk space that it takes."""

    repo: RepoCache
    num_bytes: int


def every_book(folders: Iterable[Path], config: EngineConfig) -> list[Book]:
    """All models that are found, each as far as it can be read."""
    embedded = Book(EMBEDDED_MODEL.name, "", _inspect(EMBEDDED_MODEL, EMBEDDED_MODEL.name, config))
    return [
        embedded,
        *_cached(config),
        *(book for at in folders for book in _in_folder(at, config)),
    ]


def removable(name: str) -> Removable | None:
    """Find a repository of the cache by its name."""
    parsed = parse_hub_name(name)
    if parsed is None or str(parsed) != parsed.repo:
        return None
    repo = RepoCache.of(parsed.repo)
    if not repo.folder.is_dir():
        return None
    files = (path for path in repo.folder.rglob("*") if path.is_file() and not path.is_symlink())
    return Removable(repo, sum(path.stat().st_size for path in files))


def remove(found: Removable) -> None:
    """Remove it. A server that has loaded the model goes on; it holds its files open."""
    shutil.rmtree(found.repo.folder)
    shutil.rmtree(found.repo.locks, ignore_errors=True)


def _cached(config: EngineConfig) -> Iterator[Book]:
    for folder in _entries(cache_folder()):
        kind, _, rest = folder.name.partition("--")
        if kind != "models" or not folder.is_dir():
            continue
        name = rest.replace("--", "/")
        refs = _refs(folder / "refs")
        snapshots = [path for path in _entries(folder / "snapshots") if COMMIT.fullmatch(path.name)]
        for snapshot in snapshots:
            revision = ", ".join(refs.get(snapshot.name, [])) or snapshot.name[:_SHORT]
            for path, suffix in _models_of(snapshot):
                yield Book(f"{name}{suffix}", revision, _inspect(path, name, config))
        if not snapshots:
            yield Book(name, "-", _unfinished(folder, name))


def _models_of(snapshot: Path) -> Iterator[tuple[Path, str]]:
    """The models of one commit: a folder, GGUF files, or both."""
    gguf = sorted(snapshot.rglob("*.gguf"))
    if not gguf or (snapshot / "config.json").exists():
        yield snapshot, ""
    for path in gguf:
        yield path, f"/{path.relative_to(snapshot).as_posix()}"


def _in_folder(folder: Path, config: EngineConfig) -> Iterator[Book]:
    """The folder itself if it is a model, else what it holds."""
    if (folder / "config.json").is_file():
        yield Book(str(folder), "", _inspect(folder, folder.name, config))
        return
    for path in _entries(folder):
        is_model = path.suffix == ".gguf" or (path / "config.json").is_file()
        if is_model:
            yield Book(str(path), "", _inspect(path, path.name, config))


def _inspect(path: Path, name: str, config: EngineConfig) -> ModelReport:
    try:
        return inspect_model(path, name, config)
    except OSError as error:
        report = ModelReport(name, path)
        report.refuse(Verdict.DAMAGED, f"{path} cannot be read: {error.strerror}")
        return report


def _unfinished(folder: Path, name: str) -> ModelReport:
    report = ModelReport(name, folder)
    message = f"{name} has not been fetched to its end; `tercet pull {name}` goes on"
    report.refuse(Verdict.INCOMPLETE, message)
    return report


def _refs(folder: Path) -> dict[str, list[str]]:
    """Names of revisions by the commits they stand at."""
    names: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            commit = path.read_text("ascii", "replace").strip()
            names.setdefault(commit, []).append(path.relative_to(folder).as_posix())
    return names


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())[:_MAX_ENTRIES] if folder.is_dir() else []
