"""What the files of the Hub's cache are taken to say."""

from pathlib import Path

import pytest

from tercet_engine.hub.layout import RepoCache

COMMIT = "0123456789" * 4


@pytest.fixture
def cache(tmp_path: Path) -> RepoCache:
    return RepoCache("org/name", tmp_path)


def test_a_ref_gives_the_commit_that_was_set(cache: RepoCache) -> None:
    cache.set_ref("main", COMMIT)

    assert cache.commit_of("main") == cache.commit_of(None) == COMMIT
    assert cache.commit_of("other") is None


@pytest.mark.parametrize("content", ["", "../../etc", COMMIT[:-1], COMMIT + "0", "F" * 40])
def test_what_is_no_commit_leads_nowhere(cache: RepoCache, content: str) -> None:
    cache.set_ref("main", content)

    assert cache.commit_of("main") is None


def test_a_commit_stands_for_itself_and_gets_no_ref(cache: RepoCache) -> None:
    cache.set_ref(COMMIT, "f" * 40)

    assert cache.commit_of(COMMIT) == COMMIT
    assert not (cache.folder / "refs" / COMMIT).exists()
