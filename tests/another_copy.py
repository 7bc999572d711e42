"""Runs tests against another copy of the packages than the one that is installed.

A copy may have a line changed (`tests/mutants`) or an extension built another way
(`tests/sanitizers`); the working tree is never touched. Processes that tests start by the name of
a package load the installed one.
"""

import importlib.util
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "engine" / "tercet_engine", ROOT / "server" / "tercet_server")

_RUN_TESTS = """
import importlib.util
import sys
import pytest
# An editable install would lead the import back to the working tree.
sys.meta_path[:] = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
sys.path.insert(0, sys.argv[1])
for name in ("tercet_engine", "tercet_engine._core", "tercet_server"):
    assert importlib.util.find_spec(name).origin.startswith(sys.argv[1]), name
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", *sys.argv[2:]]))
"""


def installed_extension() -> Path:
    """The extension that the environment has."""
    spec = importlib.util.find_spec("tercet_engine._core")
    assert spec is not None, "run `make build` first"
    assert spec.origin is not None, "an extension is a file"
    return Path(spec.origin)


def copy_packages(folder: Path, extension: Path) -> None:
    """Copy both packages into a folder that has neither, with that extension."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(package, folder / package.name, ignore=ignored)
    shutil.copy(extension, folder / PACKAGES[0].name / extension.name)


def pytest_command(folder: Path, *arguments: str) -> list[str]:
    """The command that runs tests, from the repository's root, against the copy in `folder`."""
    return [sys.executable, "-c", _RUN_TESTS, str(folder), *arguments]
