"""What of a repository is on this disk already, found without a network."""

import json
from pathlib import Path

from tercet_engine.errors import LoadError
from tercet_engine.hub.choice import (
    ANYTHING,
    INDEX,
    WEIGHTS,
    Form,
    Wanted,
    choose_form,
    choose_gguf,
)
from tercet_engine.hub.layout import RepoCache
from tercet_engine.hub.names import HubName

_MAX_INDEX_BYTES = 64_000_000


def find_cached(name: HubName, wanted: Wanted = ANYTHING) -> Path | None:
    """The folder or GGUF file that a name stands for, if it is here whole."""
    cache = RepoCache.of(name.repo)
    commit = cache.commit_of(name.revision)
    return None if commit is None else find_in_snapshot(cache.snapshot(commit), name, wanted)


def find_in_snapshot(folder: Path, name: HubName, wanted: Wanted) -> Path | None:
    """The same in one commit's folder."""
    paths = files_in(folder)
    try:
        form = choose_form(name, wanted, paths)
        if form is Form.GGUF:
            return folder / choose_gguf(name, wanted, paths)
    except LoadError:
        return None
    return folder if is_whole(folder) else None


def files_in(folder: Path) -> list[str]:
    """Paths of a folder's files whose contents are there."""
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )


def is_whole(folder: Path) -> bool:
    """Whether a folder holds a config and all weights."""
    if not (folder / "config.json").is_file():
        return False
    if (folder / WEIGHTS).is_file():
        return True
    return all((folder / shard).is_file() for shard in shard_names(folder / INDEX) or ("?",))


def shard_names(index: Path) -> list[str]:
    """The files that an index names, if they are of its own folder; none if it is no index."""
    try:
        if index.stat().st_size > _MAX_INDEX_BYTES:
            return []
        shards = set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []
    is_sound = all(isinstance(shard, str) and Path(shard).name == shard for shard in shards)
    return sorted(shards) if is_sound else []
