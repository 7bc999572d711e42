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


def copy_packages(folder: Path, extension: Path) -> None:
    """Copy both packages into a folder that has neither, with that extension."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(package, folder / package.name, ignore=ignored)
    shutil.copy(extension, folder / PACKAGES[0].name / extension.name)


def run_pytest(folder: Path, *arguments: str) -> int:
    """Run tests against the copy in `folder`, in this process, which has imported none before."""
    import pytest

    # An editable install would lead the imports back to the working tree.
    sys.meta_path[:] = [f for f in sys.meta_path if "Redirecting" not in type(f).__name__]
    sys.path.insert(0, str(folder))
    for name in ("tercet_engine", "tercet_engine._core", "tercet_server"):
        spec = importlib.util.find_spec(name)
        assert spec is not None, f"there is no {name} in {folder}"
        assert str(spec.origin).startswith(str(folder)), f"{name} would be {spec.origin}"
    return int(pytest.main(["-q", "-p", "no:cacheprovider", *arguments]))


if __name__ == "__main__":
    sys.exit(run_pytest(Path(sys.argv[1]), *sys.argv[2:]))
