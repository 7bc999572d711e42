"""A model of the Hub onto this disk: what is needed of it, once it is known to fit."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

import httpx
import huggingface_hub
from huggingface_hub import constants

from tercet_engine.errors import CheckpointError, FetchFailed
from tercet_engine.hub.blobs import BlobFetcher
from tercet_engine.hub.cache import find_cached, shard_names
from tercet_engine.hub.choice import (
    INDEX,
    SMALL_FILES,
    WEIGHTS,
    Form,
    Wanted,
    choose_form,
    choose_gguf,
)
from tercet_engine.hub.faults import explain_fault, is_absence
from tercet_engine.hub.layout import COMMIT, RepoCache
from tercet_engine.hub.listener import FetchListener, PlannedFile
from tercet_engine.hub.listing import Listing, RemoteFile, list_files
from tercet_engine.hub.names import HubName

_TIMEOUT: Final = httpx.Timeout(30.0, connect=10.0)
_RESERVE_BYTES: Final = 16 << 20
"""Left free on the disk, for links, locks and others."""


def fetch_model(
    name: HubName,
    wanted: Wanted,
    listener: FetchListener,
    token: str | None = None,
) -> Path:
    """Make what a name stands for be here; return its folder, or its GGUF file.

    The Hub is asked for the newest commit of a branch. Where it cannot be reached, what an earlier
    call has fetched is taken; a commit that is here is taken without asking.

    Raises:
        ModelNotFound: there is none such, or it may not be had.
        FetchFailed: it is there and could not be brought here.
        UnsupportedModel: it holds nothing that can be read.
    """
    cached = find_cached(name, wanted)
    if cached is not None and name.revision and COMMIT.fullmatch(name.revision):
        return cached
    token = token or huggingface_hub.get_token()
    try:
        listing = list_files(name, token)
    except Exception as error:  # of many kinds: HTTP, network, and the library's own
        if cached is not None and is_absence(error):
            listener.note(
                f"the Hub cannot be asked ({type(error).__name__}); {name} is here already"
            )
            return cached
        raise explain_fault(error, name, has_token=bool(token)) from error
    return _Fetch(name, listing, listener, token).run(wanted)


class _Fetch:
    """Fetches from one commit of a repository."""

    def __init__(
        self, name: HubName, listing: Listing, listener: FetchListener, token: str | None
    ) -> None:
        self._name = name
        self._listing = listing
        self._listener = listener
        self._cache = RepoCache.of(name.repo)
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "tercet"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def run(self, wanted: Wanted) -> Path:
        paths = sorted(self._listing.files)
        form = choose_form(self._name, wanted, paths)
        snapshot = self._cache.snapshot(self._listing.commit)
        with httpx.Client(headers=self._headers, timeout=_TIMEOUT, follow_redirects=True) as client:
            fetcher = BlobFetcher(client, self._cache, self._listener)
            if form is Form.GGUF:
                result = snapshot / choose_gguf(self._name, wanted, paths)
                self._fetch(fetcher, [result.relative_to(snapshot).as_posix()])
            else:
                result = snapshot
                self._fetch(fetcher, self._safetensors(fetcher, snapshot))
        self._cache.set_ref(self._name.revision, self._listing.commit)
        return result

    def _safetensors(self, fetcher: BlobFetcher, snapshot: Path) -> list[str]:
        """Names of all files of a model in this form, the weights last."""
        files = self._listing.files
        small = [name for name in SMALL_FILES if name in files]
        if WEIGHTS in files:
            return [*small, WEIGHTS]
        self._fetch_one(fetcher, files[INDEX])  # says which files are the model
        shards = shard_names(snapshot / INDEX)
        if not shards or any(shard not in files for shard in shards):
            message = f"{self._name}: {INDEX} names files that the repository does not hold"
            raise CheckpointError(message)
        return [*small, INDEX, *shards]

    def _fetch(self, fetcher: BlobFetcher, names: Sequence[str]) -> None:
        files = [self._listing.files[name] for name in names]
        contents = {file.blob_id: file for file in reversed(files)}  # two files may hold the same
        missing = [file for file in contents.values() if not fetcher.is_here(file)]
        plan = [PlannedFile(f.name, f.num_bytes, fetcher.num_done(f)) for f in reversed(missing)]
        if missing:
            self._check_space(sum(file.num_bytes - file.num_done for file in plan))
            self._listener.start(str(self._name), plan)
        for file in files:
            self._fetch_one(fetcher, file)
        if missing:
            self._listener.finish()

    def _fetch_one(self, fetcher: BlobFetcher, file: RemoteFile) -> None:
        hub = constants.ENDPOINT
        url = f"{hub}/{self._name.repo}/resolve/{self._listing.commit}/{quote(file.name)}"
        fetcher.fetch(file, url)
        self._cache.link(self._listing.commit, file.name, file.blob_id)

    def _check_space(self, num_bytes: int) -> None:
        self._cache.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self._cache.folder).free
        if num_bytes + _RESERVE_BYTES > free:
            message = (
                f"{self._name} needs {num_bytes:,} more bytes in {self._cache.root}, where "
                f"{free:,} are free; free some space, or let HF_HOME name a larger disk"
            )
            raise FetchFailed(message)
