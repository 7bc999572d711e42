"""What the Hub says of a repository: its commit, and each file's size and checksum."""

from dataclasses import dataclass
from typing import Final

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import OfflineModeIsEnabled

from tercet_engine.errors import FetchFailed
from tercet_engine.hub.layout import BLOB_ID, COMMIT
from tercet_engine.hub.names import HubName, is_plain_path

_SECONDS: Final = 15.0
_MAX_BYTES: Final = 1 << 50


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a repository.

    Attributes:
        name: its path there.
        num_bytes: its size.
        blob_id: SHA-256 of its content (64 digits), or for small ones git's SHA-1 (40 digits).
    """

    name: str
    num_bytes: int
    blob_id: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A repository at one commit; files by their paths."""

    commit: str
    files: dict[str, RemoteFile]


def list_files(name: HubName, token: str | None) -> Listing:
    """Ask the Hub.

    Raises:
        FetchFailed: what it says makes no sense.
        Exception: of the library's many kinds; see `faults.py`.
    """
    if constants.HF_HUB_OFFLINE:
        raise OfflineModeIsEnabled  # some versions of the library see it only at their start
    api = huggingface_hub.HfApi(endpoint=constants.ENDPOINT, token=token)
    info = api.model_info(name.repo, revision=name.revision, files_metadata=True, timeout=_SECONDS)
    if not COMMIT.fullmatch(info.sha or ""):
        message = f"{name}: the Hub names no commit; found {str(info.sha)[:80]!r}"
        raise FetchFailed(message)
    files = {}
    for sibling in info.siblings or ():
        lfs = sibling.lfs
        blob_id = sibling.blob_id if lfs is None else lfs.sha256
        num_bytes = sibling.size if lfs is None else lfs.size
        path = sibling.rfilename
        is_sound = blob_id and BLOB_ID.fullmatch(blob_id) and 0 <= (num_bytes or 0) < _MAX_BYTES
        if is_plain_path(path) and is_sound and blob_id and num_bytes is not None:
            files[path] = RemoteFile(path, num_bytes, blob_id)
    return Listing(str(info.sha), files)
