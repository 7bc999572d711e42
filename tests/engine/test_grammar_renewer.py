"""New matchers are made in turns, and none after the end."""

import threading
from collections.abc import Callable, Iterator

import pytest

from tercet_engine.grammar_renewer import Renewer

ORDER = ("a1", "a2", "a3", "b1", "b2")


@pytest.fixture
def renewer() -> Iterator[Renewer]:
    renewer = Renewer()
    yield renewer
    renewer.close()


def wait(event: threading.Event, begun: threading.Event | None = None) -> Callable[[], bool]:
    def work() -> bool:
        if begun:
            begun.set()
        return event.wait(30)

    return work


def test_who_asks_for_much_waits_for_those_who_ask_for_little(renewer: Renewer) -> None:
    others, done = threading.Event(), list[str]()
    renewer.submit("a", wait(others))
    asked = [renewer.submit(what[0], lambda what=what: done.append(what)) for what in ORDER]
    others.set()
    for future in asked:
        future.result(30)
    assert done == ["b1", "a1", "b2", "a2", "a3"]


def test_an_error_is_its_own(renewer: Renewer) -> None:
    failed, other = renewer.submit("a", lambda: 1 // 0), renewer.submit("a", lambda: 1)
    assert isinstance(failed.exception(30), ZeroDivisionError)
    assert other.result(30) == 1


def test_what_waits_at_the_end_is_cancelled_and_so_is_what_comes_later(renewer: Renewer) -> None:
    others, begun = threading.Event(), threading.Event()
    first = renewer.submit("a", wait(others, begun))
    assert begun.wait(30)
    asked = [renewer.submit(whose, lambda: 1) for whose in "ab"]
    renewer.close()
    asked.append(renewer.submit("c", lambda: 1))
    others.set()
    assert first.result(30)
    assert all(future.cancelled() for future in asked)
