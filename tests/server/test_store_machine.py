"""The store's bounds hold whatever is put, continued, deleted and waited for."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from typing_extensions import override

from tercet_server.services.store import ResponseStore, StoredResponse, StoreLimits

MAX_SECONDS = 1000.0
NAMES = st.sampled_from("abcdef")
OWNERS = st.sampled_from(["", "me", "you"])
T = TypeVar("T")


@dataclass
class Kept:
    owner: str
    stored: StoredResponse
    used: float


class Store(RuleBasedStateMachine):
    """Beside the store is a list of what it must hold, in order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.seconds = 1e6
        self.kept: list[Kept] = []

    def clock(self) -> float:
        self.seconds += 0.001  # no two uses are at the same time
        return self.seconds

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize(count=st.integers(1, 5), size=st.integers(10, 120))
    def begin(self, count: int, size: int) -> None:
        self.limits = StoreLimits(count, size, MAX_SECONDS)
        self.store = ResponseStore(None, self.limits, self.clock)

    @rule(
        owner=OWNERS,
        name=NAMES,
        previous=st.none() | NAMES,
        text=st.text("aé🐕", max_size=40),
    )
    def put(self, owner: str, name: str, previous: str | None, text: str) -> None:
        stored = StoredResponse(name, previous, "[]", text)
        is_taken = self.run(self.store.put(owner, stored))
        assert is_taken == (stored.size <= self.limits.max_bytes)
        if not is_taken:
            return
        self.kept = [one for one in self.kept if one.stored.id != name]
        self.kept.append(Kept(owner, stored, self.seconds))
        self.forget_the_old()
        size = 0
        for index, one in enumerate(reversed(self.kept)):
            size += one.stored.size
            if index >= self.limits.max_responses or size > self.limits.max_bytes:
                del self.kept[: len(self.kept) - index]
                break

    @rule(owner=OWNERS, name=NAMES)
    def get(self, owner: str, name: str) -> None:
        found = self.run(self.store.get(owner, name))
        one = self.find(owner, name)
        assert found == (one.stored if one else None)

    @rule(owner=OWNERS, name=NAMES)
    def delete(self, owner: str, name: str) -> None:
        self.forget_the_old()
        one = self.find(owner, name)
        self.run(self.store.delete(owner, name))
        assert self.run(self.store.get(owner, name)) is None
        if one:
            self.kept.remove(one)

    @rule(owner=OWNERS, name=NAMES)
    def go_on(self, owner: str, name: str) -> None:
        links: list[Kept] = []
        wanted: str | None = name
        while wanted and (one := self.find(owner, wanted)):
            if one in links:
                return  # it runs in a circle, which is refused
            links.append(one)
            wanted = one.stored.previous
        chain, missing = self.run(self.store.chain(owner, name))
        if wanted:
            assert missing == wanted
            return
        assert (chain, missing) == ([one.stored for one in links[::-1]], None)
        for one in links:  # all of it was used just now
            self.kept.remove(one)
            one.used = self.seconds
        self.kept += links

    @rule(share=st.sampled_from([0.01, 0.4, 1.1]))
    def wait(self, share: float) -> None:
        self.seconds += share * MAX_SECONDS

    @invariant()
    def the_bounds_hold(self) -> None:
        if hasattr(self, "store"):
            number, size = self.store._database.execute(
                "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM responses"
            ).fetchone()
            assert number <= self.limits.max_responses
            assert size <= self.limits.max_bytes

    def find(self, owner: str, name: str) -> Kept | None:
        self.forget_the_old()
        return next((k for k in self.kept if (k.owner, k.stored.id) == (owner, name)), None)

    def forget_the_old(self) -> None:
        self.kept = [one for one in self.kept if one.used >= self.seconds - MAX_SECONDS]

    @override
    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
        self.loop.close()


Store.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestStore = Store.TestCase
