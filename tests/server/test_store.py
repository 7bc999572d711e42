"""Responses that are kept: what is found again, what makes room."""

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tercet_server.errors import InvalidRequest, StoreUnavailable
from tercet_server.services import store as module
from tercet_server.services.store import ResponseStore, StoredResponse, StoreLimits
from tercet_server.settings import InvalidSettings
from tercet_server.store_file import open_store
from tests.server.conftest import settings_of


class Clock:
    """Ticks once whenever it is read; may be set."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 0.001
        return self.seconds


def limits(count: int = 10, size: int = 1000, seconds: float = 100) -> StoreLimits:
    return StoreLimits(count, size, seconds)


def response(name: str, previous: str | None = None, size: int = 10) -> StoredResponse:
    return StoredResponse(name, previous, "[]", "x" * (size - 2))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def small(clock: Clock) -> Iterator[ResponseStore]:
    """Room for three responses, and for a hundred bytes."""
    store = ResponseStore(None, limits(count=3, size=100), clock)
    yield store
    store.close()


async def names(store: ResponseStore, *wanted: str) -> list[str]:
    return [name for name in wanted if await store.get("", name)]


async def test_what_is_put_is_found_by_its_owner_alone(small: ResponseStore) -> None:
    await small.put("me", response("a"))
    assert await small.get("me", "a") == response("a")
    assert await small.get("you", "a") is None


async def test_only_its_owner_deletes_a_response(small: ResponseStore) -> None:
    await small.put("me", response("a"))
    assert not await small.delete("you", "a")
    assert await small.delete("me", "a")
    assert await small.get("me", "a") is None


async def test_a_response_replaces_an_earlier_state_of_itself(small: ResponseStore) -> None:
    await small.put("", response("a", size=60))
    await small.put("", response("a", size=70))
    found = await small.get("", "a")
    assert found is not None
    assert found.size == 70


async def test_the_oldest_makes_room_for_one_too_many(small: ResponseStore) -> None:
    for name in "abcd":
        await small.put("", response(name))
    assert await names(small, *"abcd") == ["b", "c", "d"]


async def test_as_many_as_needed_make_room_for_a_large_one(small: ResponseStore) -> None:
    for name in "ab":
        await small.put("", response(name, size=40))
    await small.put("", response("c", size=80))
    assert await names(small, *"abc") == ["c"]


async def test_what_is_larger_than_the_store_is_not_put(small: ResponseStore) -> None:
    await small.put("", response("a"))
    assert not await small.put("", response("b", size=101))
    assert await names(small, "a", "b") == ["a"]


async def test_continuing_a_conversation_uses_all_of_it(small: ResponseStore) -> None:
    await small.put("", response("a"))
    await small.put("", response("b", previous="a"))
    await small.put("", response("other"))
    await small.chain("", "b")
    await small.put("", response("c", previous="b"))
    assert await names(small, "a", "b", "other", "c") == ["a", "b", "c"]


async def test_what_is_not_used_for_long_is_gone(small: ResponseStore, clock: Clock) -> None:
    await small.put("", response("a"))
    clock.seconds += 101
    assert await small.get("", "a") is None


async def test_a_chain_runs_from_the_first_to_the_last(small: ResponseStore) -> None:
    await small.put("", response("a"))
    await small.put("", response("b", previous="a"))
    assert await small.chain("", "b") == ([response("a"), response("b", previous="a")], None)


async def test_a_chain_that_is_broken_names_what_is_missing(small: ResponseStore) -> None:
    await small.put("", response("b", previous="a"))
    assert await small.chain("", "b") == ([response("b", previous="a")], "a")


async def test_a_chain_through_another_owners_response_is_broken(small: ResponseStore) -> None:
    await small.put("you", response("a"))
    await small.put("me", response("b", previous="a"))
    assert (await small.chain("me", "b"))[1] == "a"


async def test_a_chain_has_a_limit(small: ResponseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHAIN", 2)
    for name, previous in [("a", None), ("b", "a"), ("c", "b")]:
        await small.put("", response(name, previous))
    with pytest.raises(InvalidRequest, match="over 2 responses"):
        await small.chain("", "c")


async def test_a_chains_bytes_have_a_limit(
    small: ResponseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small.put("", response("a", size=30))
    await small.put("", response("b", previous="a", size=30))
    monkeypatch.setattr(module, "MAX_CHAIN_BYTES", 60)
    assert len((await small.chain("", "b"))[0]) == 2
    monkeypatch.setattr(module, "MAX_CHAIN_BYTES", 59)
    with pytest.raises(InvalidRequest, match="over 59 bytes"):
        await small.chain("", "b")


async def test_a_chain_that_runs_in_a_circle_ends_at_the_limit(small: ResponseStore) -> None:
    await small.put("", response("a", previous="a"))
    with pytest.raises(InvalidRequest, match="over 1024 responses"):
        await small.chain("", "a")


async def test_a_file_outlives_its_store(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    store = ResponseStore(path, limits())
    await store.put("me", response("a"))
    store.close()

    again = ResponseStore(path, limits())
    assert await again.get("me", "a") == response("a")
    again.close()


async def test_a_file_is_brought_within_smaller_limits_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    store = ResponseStore(path, limits())
    for name in "abc":
        await store.put("", response(name))
    store.close()

    again = ResponseStore(path, limits(count=1))
    assert await names(again, *"abc") == ["c"]
    again.close()


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    ResponseStore(path, limits()).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_file_stays_near_its_limit_however_much_is_put(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    store = ResponseStore(path, limits(count=1000, size=100_000))
    for number in range(100):
        await store.put("", response(str(number), size=20_000))
    store.close()
    assert path.stat().st_size < 400_000


async def test_a_store_that_is_closed_says_that_it_cannot_be_used() -> None:
    store = ResponseStore(None, limits())
    store.close()
    assert not await store.put("", response("a"))
    with pytest.raises(StoreUnavailable):
        await store.get("", "a")


def test_a_file_of_another_kind_is_refused_in_words(tmp_path: Path) -> None:
    content = b"this is no database" * 100
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidSettings, match=r"notes\.txt cannot hold responses"):
        open_store(settings_of(store_path=path))
    assert path.read_bytes() == content


def test_a_file_that_a_later_version_wrote_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "responses.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 2")
    database.close()
    with pytest.raises(InvalidSettings, match="has format 2; this version reads format 1"):
        open_store(settings_of(store_path=path))


def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="No such file or directory"):
        open_store(settings_of(store_path=tmp_path / "missing" / "responses.db"))


def test_no_store_keeps_nothing() -> None:
    assert open_store(settings_of(store=False)) is None
