"""`tercet models`: what is on the disk, and how it is removed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tercet_engine import EMBEDDED_MODEL
from tercet_engine.hub.layout import RepoCache
from tests.cli.conftest import Outcome

Tercet = Callable[..., Outcome]
COMMIT = "c" * 40


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def pulled() -> RepoCache:
    """The embedded model as if it had been pulled as org/tiny."""
    repo = RepoCache.of("org/tiny")
    for number, path in enumerate(sorted(EMBEDDED_MODEL.glob("*.*"))):
        blob_id = f"{number:040x}"
        repo.blob(blob_id).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, repo.blob(blob_id))
        repo.link(COMMIT, path.name, blob_id)
    repo.set_ref("main", COMMIT)
    return repo


def listed(tercet: Tercet, *arguments: str) -> list[dict[str, Any]]:
    outcome = tercet("models", "--json", *arguments)
    assert outcome.exit_code == 0
    found: list[dict[str, Any]] = json.loads(outcome.out)
    return found


def test_the_embedded_model_is_always_there(tercet: Tercet) -> None:
    (found,) = listed(tercet)

    assert (found["name"], found["servable"], found["verdict"]) == ("tercet-tiny", True, "yes")


def test_what_was_pulled_is_listed_with_its_revision(tercet: Tercet, pulled: RepoCache) -> None:
    _, found = listed(tercet)

    assert (found["name"], found["revision"]) == ("org/tiny", "main")
    assert found["path"] == str(pulled.snapshot(COMMIT))
    assert (found["architecture"], found["format"]) == ("BitNetForCausalLM", "safetensors")
    assert found["num_bytes"] == (EMBEDDED_MODEL / "model.safetensors").stat().st_size
    assert found["servable"]
    text = tercet("models").out
    for word in ["org/tiny", "main", "5.14 MB", "yes"]:
        assert word in text


def test_a_commit_that_nothing_stands_at_is_named_by_its_digits(
    tercet: Tercet, pulled: RepoCache
) -> None:
    shutil.rmtree(pulled.folder / "refs")

    assert listed(tercet)[1]["revision"] == "cccccccc"


def test_what_is_not_all_there_is_incomplete(tercet: Tercet, pulled: RepoCache) -> None:
    (pulled.snapshot(COMMIT) / "model.safetensors").unlink()
    RepoCache.of("org/begun").partial("d" * 40).parent.mkdir(parents=True)
    begun, found = listed(tercet)[1:]

    assert (begun["name"], begun["verdict"]) == ("org/begun", "incomplete")
    assert "tercet pull org/begun" in begun["reason"]
    assert (found["servable"], found["verdict"]) == (False, "incomplete")


def test_each_gguf_file_is_a_model(tercet: Tercet, root: Path) -> None:
    snapshot = RepoCache.of("org/files").snapshot(COMMIT)
    (snapshot / "deep").mkdir(parents=True)
    for path in ("a.gguf", "deep/b.gguf"):
        (snapshot / path).write_bytes(b"GGUF")

    assert [book["name"] for book in listed(tercet)[1:]] == [
        "org/files/a.gguf",
        "org/files/deep/b.gguf",
    ]
    assert {book["verdict"] for book in listed(tercet)[1:]} == {"damaged"}


def test_folders_are_looked_into(tercet: Tercet, tmp_path: Path) -> None:
    shutil.copytree(EMBEDDED_MODEL, tmp_path / "models/one")
    (tmp_path / "models/two.gguf").write_bytes(b"no")
    (tmp_path / "models/notes.txt").touch()
    (tmp_path / "models/three").mkdir()
    names = [book["name"] for book in listed(tercet, "--dir", str(tmp_path / "models"))]
    itself = listed(tercet, "--dir", str(tmp_path / "models/one"))

    assert names[1:] == [str(tmp_path / "models/one"), str(tmp_path / "models/two.gguf")]
    assert itself[1]["path"] == str(tmp_path / "models/one")


def test_a_folder_that_is_none_is_wrong_usage(tercet: Tercet, tmp_path: Path) -> None:
    outcome = tercet("models", "--dir", str(tmp_path / "nothing"))

    assert outcome.exit_code == 2
    assert "is no folder" in outcome.err


def test_a_model_is_removed_once_that_is_confirmed(tercet: Tercet, pulled: RepoCache) -> None:
    kept = tercet("models", "rm", "org/tiny", stdin="n\n")
    assert kept.exit_code == 130
    assert pulled.folder.is_dir()
    removed = tercet("models", "rm", "org/tiny", "--yes")

    assert removed.exit_code == 0
    assert "removed org/tiny, 5.2" in removed.out
    assert not pulled.folder.exists()
    assert len(listed(tercet)) == 1


@pytest.mark.parametrize("name", ["org/other", "tercet-tiny", "../hub", "org/tiny@main"])
def test_only_what_is_in_the_cache_is_removed(tercet: Tercet, pulled: RepoCache, name: str) -> None:
    outcome = tercet("models", "rm", name, "--yes")

    assert outcome.exit_code == 1
    assert "is not in the Hub's cache" in outcome.err
    assert pulled.folder.is_dir()
