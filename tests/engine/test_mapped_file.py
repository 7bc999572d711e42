from pathlib import Path

import pytest

from tercet_engine import CheckpointError, mapped_file
from tercet_engine.mapped_file import MappedFile


@pytest.mark.parametrize("largest_copy", [0, 1 << 20])
def test_a_file_is_the_same_mapped_and_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, largest_copy: int
) -> None:
    monkeypatch.setattr(mapped_file, "MAX_COPIED_BYTES", largest_copy)
    content = bytes(range(256)) * 100
    (tmp_path / "file").write_bytes(content)
    file = MappedFile(tmp_path / "file", 1, "a file")
    file.forget(0, len(content))

    assert file.content[:] == content
    assert file.num_bytes == len(content)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(CheckpointError, match="has 0 bytes; a box has at least 1"):
        MappedFile(tmp_path / "file", 1, "a box")
