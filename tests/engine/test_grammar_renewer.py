"""New matchers are made one at a time, and none after the end."""

import threading
from collections.abc import Iterator

import pytest

from tercet_engine.grammar_renewer import Renewer


@pytest.fixture
def renewer() -> Iterator[Renewer]:
    renewer = Renewer()
    yield renewer
    renewer.close()


def test_an_error_is_its_own(renewer: Renewer) -> None:
    failed, other = renewer.submit(lambda: 1 // 0), renewer.submit(lambda: 1)
    assert isinstance(failed.exception(30), ZeroDivisionError)
    assert other.result(30) == 1


def test_what_waits_at_the_end_is_cancelled_and_so_is_what_comes_later(renewer: Renewer) -> None:
    has_begun, may_end = threading.Event(), threading.Event()

    def work() -> bool:
        has_begun.set()
        return may_end.wait(30)

    first, waiting = renewer.submit(work), renewer.submit(lambda: True)
    assert has_begun.wait(30)
    renewer.close()
    later = renewer.submit(lambda: True)
    may_end.set()

    assert first.result(30)
    assert waiting.cancelled()
    assert later.cancelled()
