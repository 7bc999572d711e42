"""One file from the Hub to this disk: resumed, tried again, checked, and only then given its name.

The beginning that an interrupted attempt leaves, even one that was killed, is continued from its
last byte. The checksum is taken of the whole file as it lies on the disk.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from tercet_engine.errors import FetchFailed
from tercet_engine.hub.layout import RepoCache
from tercet_engine.hub.listener import FetchListener
from tercet_engine.hub.listing import RemoteFile

MAX_FAILURES: Final = 5
"""Attempts in a row that bring nothing, after which it is given up."""
_PIECE_BYTES: Final = 1 << 20
_SECONDS_UNIT = 1.0  # tests wait less
_RETRIED_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})


class _Interrupted(Exception):
    """The connection brought less than the whole; another attempt may bring the rest."""


class BlobFetcher:
    """Fetches files of one repository.

    Args:
        client: sends the requests, with the headers that the Hub wants.
        cache: where files go.
        listener: is told of what arrives.
    """

    def __init__(self, client: httpx.Client, cache: RepoCache, listener: FetchListener) -> None:
        self._client = client
        self._cache = cache
        self._listener = listener

    def num_done(self, file: RemoteFile) -> int:
        """Bytes of a file that need not be fetched."""
        if self.is_here(file):
            return file.num_bytes
        partial = self._cache.partial(file.blob_id)
        return min(file.num_bytes, partial.stat().st_size) if partial.is_file() else 0

    def is_here(self, file: RemoteFile) -> bool:
        """Whether a file's content is complete, as far as its size tells."""
        blob = self._cache.blob(file.blob_id)
        return blob.is_file() and blob.stat().st_size == file.num_bytes

    def fetch(self, file: RemoteFile, url: str) -> None:
        """Make a file's content complete.

        Raises:
            FetchFailed: it cannot be had, or is not what the Hub says it is.
            OSError: the disk fails.
        """
        blob = self._cache.blob(file.blob_id)
        blob.parent.mkdir(parents=True, exist_ok=True)
        with self._cache.lock(file.blob_id) as was_free:
            if not was_free:
                self._listener.note(f"{file.name}: another process was fetching it")
            if not self.is_here(file):
                if blob.is_file():  # it had its name when it was whole, and was damaged since
                    self._listener.note(
                        f"{file.name} is here with {blob.stat().st_size:,} of its "
                        f"{file.num_bytes:,} bytes; it is fetched anew"
                    )
                partial = self._cache.partial(file.blob_id)
                self._fetch_all(file, url, partial)
                self._check(file, partial)
                partial.replace(blob)

    def _fetch_all(self, file: RemoteFile, url: str, partial: Path) -> None:
        num_failures = 0
        partial.touch()
        while (num_before := partial.stat().st_size) < file.num_bytes:
            try:
                self._fetch_rest(file, url, partial)
            except (httpx.TransportError, _Interrupted) as error:
                has_progress = partial.stat().st_size > num_before
                num_failures = 1 if has_progress else num_failures + 1
                if num_failures > MAX_FAILURES:
                    message = (
                        f"{file.name} could not be fetched: {_words(error)}; what is here is kept, "
                        "and the same command goes on from there"
                    )
                    raise FetchFailed(message) from error
                seconds = _SECONDS_UNIT * 2 ** (num_failures - 1)
                self._listener.note(f"{file.name}: {_words(error)}; again in {seconds:.0f} s")
                time.sleep(seconds)

    def _fetch_rest(self, file: RemoteFile, url: str, partial: Path) -> None:
        start = partial.stat().st_size
        headers = {"Range": f"bytes={start}-"} if start else {}
        with self._client.stream("GET", url, headers=headers) as response:
            if response.status_code in _RETRIED_STATUSES:
                message = f"the Hub answers {response.status_code}"
                raise _Interrupted(message)
            if response.status_code not in {200, 206}:
                message = (
                    f"{file.name} could not be fetched: the Hub answers {response.status_code}"
                )
                raise FetchFailed(message)
            if start and not _continues(response, start):
                self._listener.advance(file.name, -start)
                start = 0
            with partial.open("r+b") as output:
                output.truncate(start)
                output.seek(start)
                self._write(file, response, output.write, file.num_bytes - start)
                output.flush()
                os.fsync(output.fileno())

    def _write(
        self,
        file: RemoteFile,
        response: httpx.Response,
        write: Callable[[bytes], int],
        num_expected: int,
    ) -> None:
        for piece in response.iter_raw():
            if len(piece) > num_expected:
                message = (
                    f"{file.name} could not be fetched: more than the {file.num_bytes} bytes came "
                    "that the Hub announced"
                )
                raise FetchFailed(message)
            write(piece)
            num_expected -= len(piece)
            self._listener.advance(file.name, len(piece))
        if num_expected:
            message = f"the connection ended {num_expected} bytes early"
            raise _Interrupted(message)

    def _check(self, file: RemoteFile, partial: Path) -> None:
        found = checksum(partial, is_git=len(file.blob_id) == 40)
        if found != file.blob_id:
            partial.unlink()
            self._listener.advance(file.name, -file.num_bytes)
            kind = "git's SHA-1" if len(file.blob_id) == 40 else "SHA-256"
            message = (
                f"{file.name} arrived damaged and was removed: its {kind} is {found}, the Hub says "
                f"{file.blob_id}; run the same command again"
            )
            raise FetchFailed(message)


def checksum(path: Path, *, is_git: bool = False) -> str:
    """A file's SHA-256, or the SHA-1 that git names it by."""
    with path.open("rb") as file:
        if not is_git:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest = hashlib.sha1(usedforsecurity=False)
        digest.update(b"blob %d\0" % path.stat().st_size)
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
        return digest.hexdigest()


def _continues(response: httpx.Response, start: int) -> bool:
    """Whether an answer goes on where we asked it to."""
    found = response.headers.get("Content-Range", "")
    return response.status_code == 206 and found.startswith(f"bytes {start}-")


def _words(error: Exception) -> str:
    reason = next(iter(str(error).strip().splitlines()), "")[:200]
    return reason or type(error).__name__
