"""Responses that are kept, so that they can be retrieved and continued.

A SQLite database, in memory or in a file. All of it is bounded: what has not been used for longest
goes first, be it for number, for bytes or for age. Using the end of a conversation uses all of it.
Everyone finds only what was stored under their own key. SQL runs on a thread of the store's own.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from tercet_server.errors import InvalidRequest, StoreUnavailable

_FORMAT: Final = 1
"""To be raised when what is stored can no longer be read: files of another format are refused."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, previous TEXT, used INTEGER NOT NULL,
    size INTEGER NOT NULL, input TEXT NOT NULL, response TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_use ON responses (used, size);
"""
_EVICT: Final = """
DELETE FROM responses WHERE rowid IN (
    SELECT rowid FROM (
        SELECT rowid, ROW_NUMBER() OVER newest AS number, SUM(size) OVER newest AS total
        FROM responses WINDOW newest AS (ORDER BY used DESC, rowid DESC ROWS UNBOUNDED PRECEDING)
    ) WHERE number > ? OR total > ?
)
"""
MAX_CHAIN: Final = 1024
"""Responses of one conversation."""
MAX_CHAIN_BYTES: Final = 16 * 2**20

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """How much is kept."""

    max_responses: int
    max_bytes: int
    max_seconds: float


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """One response, and what the client sent for it.

    Attributes:
        previous: the response that it continues.
        input: its own items, as JSON.
        response: the whole, as JSON.
    """

    id: str
    previous: str | None
    input: str
    response: str

    @property
    def size(self) -> int:
        """Bytes, about."""
        return len(self.input.encode()) + len(self.response.encode())


class ResponseStore:
    """Keeps responses. Whoever makes it must `close` it.

    Args:
        path: of the file, which is made where there is none; None: in memory.
        limits: of all that is kept.
        clock: seconds since 1970.

    Raises:
        OSError: the file cannot be made.
        sqlite3.Error: it is not a store.
    """

    def __init__(
        self, path: Path | None, limits: StoreLimits, clock: Callable[[], float] = time.time
    ) -> None:
        self._limits = limits
        self._clock = clock
        if path is not None:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # conversations are private
        self._database = sqlite3.connect(path or ":memory:", check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._database.close()
            raise
        self._thread = ThreadPoolExecutor(1, "tercet-store")

    async def put(self, owner: str, stored: StoredResponse) -> bool:
        """Keep a response, or replace it. False: it is too large, or the disk does not take it."""
        if stored.size > self._limits.max_bytes:
            return False
        try:
            await self._run(partial(self._put, owner, stored))
        except StoreUnavailable:
            return False
        return True

    async def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """A response, if its owner has one of that name.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        return await self._run(partial(self._get, owner, response_id))

    async def delete(self, owner: str, response_id: str) -> bool:
        """Forget a response; whether there was one. Raises what `get` raises."""
        return await self._run(partial(self._delete, owner, response_id))

    async def chain(self, owner: str, response_id: str) -> tuple[list[StoredResponse], str | None]:
        """A conversation from its first response to the given one.

        Returns:
            The responses, and the id of the one that is missing, if one is.

        Raises:
            InvalidRequest: the conversation is too long.
            StoreUnavailable: it cannot be read.
        """
        return await self._run(partial(self._chain, owner, response_id))

    def close(self) -> None:
        """Wait for what is being written and let go of the file."""
        self._thread.shutdown()
        self._database.close()

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (sqlite3.Error, RuntimeError) as error:  # RuntimeError: it is closed
            raise StoreUnavailable from error

    def _prepare(self) -> None:
        self._database.execute("PRAGMA busy_timeout = 5000")
        (found,) = self._database.execute("PRAGMA user_version").fetchone()
        if found not in (0, _FORMAT):
            message = f"has format {found}; this version reads format {_FORMAT}"
            raise sqlite3.DatabaseError(message)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        self._database.execute("PRAGMA secure_delete = ON")
        self._database.execute("PRAGMA journal_size_limit = 16777216")
        self._database.executescript(_SCHEMA)
        self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        with self._database:
            self._evict()

    def _now(self) -> int:
        """In nanoseconds, so that hardly two responses are used at the same time."""
        return round(self._clock() * 1e9)

    def _oldest(self) -> int:
        """What was not used since then is too old."""
        return self._now() - round(self._limits.max_seconds * 1e9)

    def _put(self, owner: str, stored: StoredResponse) -> None:
        row = (
            *(stored.id, owner, stored.previous, self._now()),
            *(stored.size, stored.input, stored.response),
        )
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
            self._evict()

    def _evict(self) -> None:
        limits = self._limits
        self._database.execute("DELETE FROM responses WHERE used < ?", (self._oldest(),))
        number, size = self._database.execute(
            "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM responses"
        ).fetchone()
        if number > limits.max_responses or size > limits.max_bytes:
            self._database.execute(_EVICT, (limits.max_responses, limits.max_bytes))

    def _get(self, owner: str, response_id: str) -> StoredResponse | None:
        row = self._database.execute(
            "SELECT id, previous, input, response FROM responses WHERE id = ? AND owner = ?"
            " AND used >= ?",
            (response_id, owner, self._oldest()),
        ).fetchone()
        return None if row is None else StoredResponse(*row)

    def _delete(self, owner: str, response_id: str) -> bool:
        parameters = (response_id, owner)
        statement = "DELETE FROM responses WHERE id = ? AND owner = ?"
        with self._database:
            return self._database.execute(statement, parameters).rowcount > 0

    def _chain(self, owner: str, response_id: str) -> tuple[list[StoredResponse], str | None]:
        chain: list[StoredResponse] = []
        size, wanted = 0, response_id
        while wanted:
            found = self._get(owner, wanted)
            if found is None:
                return chain, wanted
            chain.append(found)
            size += found.size
            _check_length(len(chain), size)
            wanted = found.previous or ""
        used = [(self._now(), stored.id) for stored in chain]
        with self._database:
            self._database.executemany("UPDATE responses SET used = ? WHERE id = ?", used)
        return chain[::-1], None


def _check_length(number: int, size: int) -> None:
    if number > MAX_CHAIN:
        words = f"continues a conversation of over {MAX_CHAIN} responses; begin another"
    elif size > MAX_CHAIN_BYTES:
        words = f"continues a conversation of over {MAX_CHAIN_BYTES} bytes; begin another"
    else:
        return
    raise InvalidRequest(f"previous_response_id {words}", "previous_response_id")
