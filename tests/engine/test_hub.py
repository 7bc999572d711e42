"""What a user names, and what it stands for."""

from pathlib import Path

import pytest

from tercet_engine import ModelNotFound, UnsupportedModel
from tercet_engine.hub import EMBEDDED_MODEL, HubName, find_model, locate_model, parse_hub_name

NAME = "org/name"


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> Path:
        message = "nothing should be fetched"
        raise AssertionError(message)

    monkeypatch.setattr("tercet_engine.hub.find.fetch_model", fetch)


def test_without_a_name_the_embedded_model_is_found() -> None:
    folder = find_model(None)

    assert (folder.path, folder.model_id) == (EMBEDDED_MODEL, "tercet-tiny")
    assert (folder.path / "config.json").is_file()
    assert find_model("tercet-tiny") == folder


def test_a_folder_is_taken_as_it_is_and_named_after_itself(tmp_path: Path) -> None:
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model/config.json").write_text("{}")
    folder = find_model(str(tmp_path / "my-model") + "/")

    assert (folder.path, folder.model_id) == (tmp_path / "my-model", "my-model")


def test_a_name_is_fetched_and_served_under_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").touch()
    asked = []
    monkeypatch.setattr(
        "tercet_engine.hub.find.fetch_model", lambda name, *_: asked.append(name) or tmp_path
    )
    folder = find_model("org/name@v1")

    assert asked == [HubName("org/name", "v1")]
    assert (folder.path, folder.model_id) == (tmp_path, "org/name")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("microsoft/bitnet-b1.58-2B-4T", HubName("microsoft/bitnet-b1.58-2B-4T")),
        ("org/name@main", HubName(NAME, "main")),
        ("org/name@refs/pr/1", HubName(NAME, "refs/pr/1")),
        ("org/name:Q2_0", HubName(NAME, tag="Q2_0")),
        ("org/name:latest", HubName(NAME)),
        ("org/name:Q2_0@v1", HubName(NAME, "v1", tag="Q2_0")),
        ("org/name@v1:Q2_0", HubName(NAME, "v1", tag="Q2_0")),
        ("org/name/a b/x-1.gguf", HubName(NAME, file="a b/x-1.gguf")),
        ("hf.co/org/name:I2_S", HubName(NAME, tag="I2_S")),
        ("https://huggingface.co/org/name/", HubName(NAME)),
        ("https://huggingface.co/org/name/tree/v2", HubName(NAME, "v2")),
        ("https://huggingface.co/org/name/blob/main/x.gguf", HubName(NAME, "main", "x.gguf")),
    ],
)
def test_names_are_read_as_other_tools_write_them(text: str, name: HubName) -> None:
    assert parse_hub_name(text) == name
    assert parse_hub_name(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "nothing-here",
        "/no/such/folder",
        "a/b/c",
        "https://x.y/z",
        "../name",
        "org/name@../../x",
        "org/name@a/../b",
        "org/name/../x.gguf",
        "org/name/tree/main",
        "org/" + "n" * 600,
        "",
    ],
)
def test_what_is_neither_folder_nor_name_is_refused(text: str) -> None:
    assert parse_hub_name(text) is None
    with pytest.raises((ModelNotFound, OSError), match=r"neither a folder nor a name|too long"):
        find_model(text)


def test_a_path_that_is_missing_is_not_looked_for_on_the_hub() -> None:
    with pytest.raises(ModelNotFound):
        find_model(Path("org/name"))


def test_a_gguf_file_is_a_model_and_other_files_are_none(tmp_path: Path) -> None:
    for name in ("my.GGUF", "notes.txt"):
        (tmp_path / name).touch()

    assert find_model(str(tmp_path / "my.GGUF")).model_id == "my"
    assert locate_model(tmp_path / "notes.txt").model_id == "notes.txt"
    with pytest.raises(UnsupportedModel, match="is a file and no GGUF file; give one, or"):
        find_model(tmp_path / "notes.txt")


def test_a_folder_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"holds no checkpoint: its config\.json is missing"):
        find_model(str(tmp_path))
