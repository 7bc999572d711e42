import os
import sys
from pathlib import Path

import pytest

from tercet_engine.packed import convert, swap
from tercet_engine.packed.convert import new_folder, remove_leftovers
from tercet_engine.packed.swap import exchange, put_in_place


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    new, out = tmp_path / ".out.1.new", tmp_path / "out"
    for folder, file in ((new, "new"), (out, "old")):
        folder.mkdir()
        (folder / file).touch()
    return new, out


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges names")
def test_two_folders_have_each_others_names_at_once(pair: tuple[Path, Path]) -> None:
    new, out = pair
    assert exchange(new, out)
    assert names(out) == ["new"]
    assert names(new) == ["old"]
    assert not exchange(new, out / "nowhere")


@pytest.mark.parametrize("is_at_once", [True, False])
def test_a_folder_takes_the_place_of_another(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, is_at_once: bool
) -> None:
    new, out = pair
    if not is_at_once:
        monkeypatch.setattr(swap, "exchange", lambda *_: False)
    put_in_place(new, out)
    assert names(out.parent) == ["out"]
    assert names(out) == ["new"]


def test_a_folder_that_cannot_be_replaced_stays(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    new, out = pair
    monkeypatch.setattr(swap, "exchange", lambda *_: False)
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(28, "full")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="full"):
        put_in_place(new, out)
    assert names(out) == ["old"]


def test_the_only_folder_there_is_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, old = tmp_path / "out", tmp_path / ".out.7.old"  # as a kill between two renames leaves it
    old.mkdir()
    os.utime(old, (0, 0))
    remove_leftovers(out)
    assert old.is_dir()

    monkeypatch.setattr(convert, "_check_space", lambda *_: None)
    with new_folder(out, 1) as folder:
        (folder / "new").touch()
    assert names(tmp_path) == ["out"]
    assert names(out) == ["new"]
