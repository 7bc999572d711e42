"""Builds what is published, looks into it, and tries it as somebody would who has nothing else.

    make dist                 # dist/tercet-VERSION.tar.gz and a wheel for this machine

The wheel is built from the source distribution alone, with build tools that pip fetches, and
installed into an environment that is made for it. There it must be whole (`pip check`), and
answer (`tests/wheel_smoke.py`).
"""

import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"

# What must be in both; the first of a pair is its place in the source.
SHIPPED = {
    "engine/tercet_engine/models/tercet-tiny/model.safetensors",
    "engine/tercet_engine/models/tercet-tiny/LICENSE-DATA",
    "engine/tercet_engine/reference_logits.json",
    "engine/tercet_engine/py.typed",
    "server/tercet_server/static/page.html",
    "server/tercet_server/py.typed",
}
SOURCES = {"LICENSE", "README.md", "pyproject.toml", "cpp/CMakeLists.txt", "cpp/src/model.cc"}
UNWANTED = re.compile(r"(^|/)(tests|training|benchmarks|deploy|__pycache__|\.[^/]+)(/|$)|\.pyc$")
EXTENSION = re.compile(r"\.so$")
MAX_BYTES = 12 * 10**6


def main() -> int:
    """Build, look, install, ask."""
    run("-m", "build", "--outdir", str(DIST), str(ROOT))  # the wheel is built from the sdist
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    source = DIST / f"tercet-{version[1]}.tar.gz"
    wheel = max(DIST.glob(f"tercet-{version[1]}-*.whl"), key=lambda path: path.stat().st_mtime)
    found = [*findings_of_source(source), *findings_of_wheel(wheel)]
    for finding in found:
        print(finding, file=sys.stderr)
    if found:
        return 1
    with tempfile.TemporaryDirectory() as folder:
        run("-m", "venv", folder)
        python = f"{folder}/bin/python"
        for arguments in (("install", "--quiet", str(wheel)), ("check",)):
            subprocess.run([python, "-m", "pip", *arguments], check=True)
        run(str(ROOT / "tests/wheel_smoke.py"), "--python", python)
    print(source, wheel, sep="\n")
    return 0


def findings_of_source(source: Path) -> list[str]:
    """What is wrong with the source distribution, in words."""
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    built = [f"holds {name}, which is built" for name in names if EXTENSION.search(name)]
    return [
        f"{source.name} {words}" for words in (*wrong(source, names, SHIPPED | SOURCES), *built)
    ]


def findings_of_wheel(wheel: Path) -> list[str]:
    """What is wrong with the wheel, in words."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    extensions = [name for name in names if EXTENSION.search(name)]
    number = [] if len(extensions) == 1 else [f"holds extensions {extensions}, must hold one"]
    licensed = any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    wanted = {name.partition("/")[2] for name in SHIPPED}
    return [
        f"{wheel.name} {words}"
        for words in (
            *wrong(wheel, names, wanted),
            *number,
            *([] if licensed else ["holds no licence"]),
        )
    ]


def wrong(path: Path, names: set[str], wanted: set[str]) -> list[str]:
    """What lacks, what is too much, and how large it is, where that is wrong."""
    size = path.stat().st_size
    return [
        *(f"lacks {name}" for name in sorted(wanted - names)),
        *(f"holds {name}, which nobody needs" for name in sorted(filter(UNWANTED.search, names))),
        *([f"has {size} bytes, at most {MAX_BYTES} are wanted"] if size > MAX_BYTES else []),
    ]


def run(*arguments: str) -> None:
    """This interpreter."""
    subprocess.run([sys.executable, *arguments], check=True)


if __name__ == "__main__":
    sys.exit(main())
