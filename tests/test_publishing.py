"""What is published is looked into: faults made on purpose must be found, and nothing else."""

import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests import dist

CROSS_WHEEL = Path(__file__).parents[1] / "cpp/tools/cross_wheel.py"
WHEEL_FILES = {
    *(name.partition("/")[2] for name in dist.SHIPPED),
    "tercet_engine/_core.cpython-311-x86_64-linux-gnu.so",
    "tercet-0.1.0.dist-info/licenses/LICENSE",
}


def source_of(folder: Path, names: set[str]) -> Path:
    path = folder / "tercet-0.1.0.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"tercet-0.1.0/{name}"), io.BytesIO())
    return path


def wheel_of(folder: Path, files: dict[str, bytes]) -> Path:
    path = folder / "tercet-0.1.0-cp311-cp311-linux_aarch64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_whole_source_and_a_whole_wheel_are_passed(tmp_path: Path) -> None:
    source = source_of(tmp_path, dist.SHIPPED | dist.SOURCES)
    wheel = wheel_of(tmp_path, dict.fromkeys(WHEEL_FILES, b""))

    assert dist.findings_of_source(source) == []
    assert dist.findings_of_wheel(wheel) == []


@pytest.mark.parametrize(
    ("added", "removed", "words"),
    [
        ("tests/engine/test_core.py", "", "holds tests/engine/test_core.py, which nobody needs"),
        ("engine/.mypy_cache/x", "", "holds engine/.mypy_cache/x"),
        ("engine/tercet_engine/_core.so", "", "which is built"),
        ("", "LICENSE", "lacks LICENSE"),
        (
            "",
            "server/tercet_server/static/page.html",
            "lacks server/tercet_server/static/page.html",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_named(
    tmp_path: Path, added: str, removed: str, words: str
) -> None:
    names = (dist.SHIPPED | dist.SOURCES | {added}) - {removed, ""}

    (finding,) = dist.findings_of_source(source_of(tmp_path, names))

    assert words in finding


@pytest.mark.parametrize(
    ("removed", "words"),
    [
        ("tercet_engine/_core.cpython-311-x86_64-linux-gnu.so", "must hold one"),
        ("tercet-0.1.0.dist-info/licenses/LICENSE", "no licence"),
        ("tercet_engine/models/tercet-tiny/model.safetensors", "lacks tercet_engine/models"),
    ],
)
def test_what_is_wrong_with_a_wheel_is_named(tmp_path: Path, removed: str, words: str) -> None:
    files = dict.fromkeys(WHEEL_FILES - {removed}, b"")

    (finding,) = dist.findings_of_wheel(wheel_of(tmp_path, files))

    assert words in finding


@pytest.fixture(scope="module")
def cross_wheel() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cross_wheel", CROSS_WHEEL)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("suffix", "machine", "words"),
    [
        (None, 183, None),
        (None, 62, "is for ELF machine 3e00"),
        (".cpython-311-x86_64-linux-gnu.so", 183, "must have one that ends in .cpython-3"),
    ],
)
def test_a_cross_built_wheel_must_be_for_arm(
    cross_wheel: ModuleType, tmp_path: Path, suffix: str | None, machine: int, words: str | None
) -> None:
    header = bytes(cross_wheel.MACHINE_AT) + machine.to_bytes(2, "little")
    name = f"tercet_engine/_core{suffix or cross_wheel.SUFFIX}"

    found = cross_wheel.findings(wheel_of(tmp_path, {name: header}))

    assert len(found) == (words is not None)
    assert all(words in finding for finding in found)


def test_a_root_without_headers_is_told(
    cross_wheel: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cross_wheel.main(tmp_path, tmp_path) == 2
    assert "has no Python.h" in capsys.readouterr().err
