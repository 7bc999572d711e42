from pathlib import Path

import pytest

from tercet_engine import ModelNotFound, UnsupportedModel
from tercet_engine.hub import EMBEDDED_MODEL, FILES, find_model


class Download:
    """Stands in for the Hub: notes what it was asked, and returns a folder or fails."""

    def __init__(self, result: Path | Exception) -> None:
        self.result = result
        self.asked: list[tuple[str, str | None]] = []

    def __call__(self, name: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((name, revision))
        assert allow_patterns == list(FILES)
        if isinstance(self.result, Exception):
            raise self.result
        return str(self.result)


def no_download(*args: object, **kwargs: object) -> str:
    message = "nothing should be fetched"
    raise AssertionError(message)


def test_without_a_name_the_embedded_model_is_found() -> None:
    folder = find_model(None, no_download)

    assert (folder.path, folder.model_id) == (EMBEDDED_MODEL, "tercet-tiny")
    assert (folder.path / "config.json").is_file()


def test_a_folder_is_taken_as_it_is_and_named_after_itself(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model/config.json").write_text("{}")
    folder = find_model(str(tmp_path / "my-model") + "/", no_download)

    assert (folder.path, folder.model_id) == (tmp_path / "my-model", "my-model")


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("microsoft/bitnet-b1.58-2B-4T", ("microsoft/bitnet-b1.58-2B-4T", None)),
        ("org/name@main", ("org/name", "main")),
        ("org/name@refs/pr/1", ("org/name", "refs/pr/1")),
    ],
)
def test_a_name_is_fetched_from_the_hub(
    tmp_path: Path, model: str, asked: tuple[str, str | None]
) -> None:
    download = Download(tmp_path)
    folder = find_model(model, download)

    assert download.asked == [asked]
    assert (folder.path, folder.model_id) == (tmp_path, asked[0])


def test_a_failed_download_says_what_to_do() -> None:
    download = Download(ConnectionError("no route to host\nand a long story"))

    with pytest.raises(ModelNotFound, match=r"no route to host.*hf download org/name") as caught:
        find_model("org/name@v1", download)
    assert "at revision v1" in str(caught.value)
    assert "long story" not in str(caught.value)


@pytest.mark.parametrize("model", ["nothing-here", "/no/such/folder", "a/b/c", "https://x.y/z"])
def test_what_is_neither_folder_nor_name_is_refused(model: str) -> None:
    with pytest.raises(ModelNotFound, match="neither a folder nor a name"):
        find_model(model, no_download)


def test_a_path_that_is_missing_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(ModelNotFound):
        find_model(Path("org/name"), no_download)


def test_a_gguf_file_is_found_and_any_other_is_refused(tmp_path: Path) -> None:
    for name in ("model.gguf", "model.bin"):
        (tmp_path / name).touch()

    assert find_model(tmp_path / "model.gguf", no_download).model_id == "model"
    with pytest.raises(UnsupportedModel, match="is a file; give the folder"):
        find_model(tmp_path / "model.bin", no_download)


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"holds no checkpoint: its config\.json is missing"):
        find_model(str(tmp_path), no_download)
