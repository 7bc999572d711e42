"""One repository in the Hub's cache on this disk, laid out as `huggingface_hub` lays it out.

blobs/<checksum> are the contents, snapshots/<commit>/<name> links to them, refs/<revision> holds
the commit that a branch or tag stood at. A file has its name only once its content is complete
and right, and a revision its ref only once every file has: what is found was there whole.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from huggingface_hub import constants

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
BLOB_ID: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
DEFAULT_REVISION: Final = "main"


def cache_folder() -> Path:
    """Where the Hub's cache is; HF_HOME or HF_HUB_CACHE move it."""
    return Path(constants.HF_HUB_CACHE).expanduser()


@dataclass(frozen=True, slots=True)
class RepoCache:
    """The folder of one repository."""

    repo: str
    root: Path

    @classmethod
    def of(cls, repo: str) -> "RepoCache":
        """Find the place of a repository, whether there is something or not."""
        return cls(repo, cache_folder())

    @property
    def folder(self) -> Path:
        """All that is kept of the repository."""
        return self.root / self._folder_name

    @property
    def locks(self) -> Path:
        """Where the locks of its contents are."""
        return self.root / ".locks" / self._folder_name

    @property
    def _folder_name(self) -> str:
        return f"models--{self.repo.replace('/', '--')}"

    def blob(self, blob_id: str) -> Path:
        """A content, complete."""
        return self.folder / "blobs" / blob_id

    def partial(self, blob_id: str) -> Path:
        """The beginning of a content."""
        return self.folder / "blobs" / f"{blob_id}.incomplete"

    def snapshot(self, commit: str) -> Path:
        """The files of a commit under their names, as far as they are here."""
        return self.folder / "snapshots" / commit

    def commit_of(self, revision: str | None) -> str | None:
        """The commit that a revision stood at when it was last asked for."""
        if revision is not None and COMMIT.fullmatch(revision):
            return revision
        ref = self.folder / "refs" / (revision or DEFAULT_REVISION)
        try:
            commit = ref.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            return None
        return commit if COMMIT.fullmatch(commit) else None

    def link(self, commit: str, name: str, blob_id: str) -> None:
        """Give a content its name in a commit."""
        path = self.snapshot(commit) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        blob = self.blob(blob_id)
        if path.exists() and path.stat().st_size == blob.stat().st_size:
            return
        fresh = path.with_name(f"{path.name}.{os.getpid()}.link")
        fresh.unlink(missing_ok=True)
        try:
            fresh.symlink_to(os.path.relpath(blob, path.parent))
        except OSError:  # a file system without links
            shutil.copyfile(blob, fresh)
        fresh.replace(path)

    def set_ref(self, revision: str | None, commit: str) -> None:
        """Note that everything wanted of a revision is here, at this commit."""
        if revision is not None and COMMIT.fullmatch(revision):
            return
        path = self.folder / "refs" / (revision or DEFAULT_REVISION)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.write_text(commit, encoding="ascii")
        fresh.replace(path)

    @contextlib.contextmanager
    def lock(self, blob_id: str) -> Iterator[bool]:
        """Hold a content's lock, for which other processes wait; false: one had it until now."""
        path = self.locks / f"{blob_id}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield True
            except BlockingIOError:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield False
