"""Builds the wheel for 64-bit ARM on another machine, and checks what came out.

    make wheel-arm ARM64_ROOT=/path/to/root        # apt install g++-aarch64-linux-gnu
    cross_wheel.py ROOT [OUT_FOLDER]

ROOT is a Debian-like file system for arm64 that holds Python's headers; nothing in it is run. The
wheel is for the version of Python that runs this script, so ROOT must have the same one. It says of
itself `linux_aarch64`: it runs where glibc is as new as the cross compiler's. Wheels for everybody
come from cibuildwheel (`pyproject.toml`).
"""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

CPP = Path(__file__).resolve().parents[1]
TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}"
SUFFIX = f".cpython-{TAG[2:]}-aarch64-linux-gnu.so"
AARCH64 = (183).to_bytes(2, "little")  # ELF's e_machine
MACHINE_AT = 18
BUILD_FOLDER = f"build/{TAG}-{TAG}-linux_aarch64"


def main(root: Path, out: Path) -> int:
    """Build, check, and say where the wheel is."""
    headers = root / f"usr/include/python{sys.version_info[0]}.{sys.version_info[1]}"
    if not (headers / "Python.h").is_file():
        print(f"{headers} has no Python.h: ROOT needs python3-dev of this version", file=sys.stderr)
        return 2
    build(root.resolve(), headers.resolve(), out)
    wheel = max(out.glob(f"*-{TAG}-linux_aarch64.whl"), key=lambda path: path.stat().st_mtime)
    found = findings(wheel)
    for finding in found:
        print(f"{wheel.name}: {finding}", file=sys.stderr)
    symbols = [sys.executable, CPP / "tools/check_symbols.py", CPP.parent / BUILD_FOLDER]
    has_kernels = any((CPP.parent / BUILD_FOLDER).glob("**/kernels_*.dir/**/*.o"))
    if found or (has_kernels and subprocess.run(symbols, check=False).returncode != 0):
        return 1
    print(wheel)
    return 0


def build(root: Path, headers: Path, out: Path) -> None:
    """Have pip build it, with all that a build asks of the machine it runs on told from outside."""
    defines = {
        "CMAKE_TOOLCHAIN_FILE": CPP / "cmake/aarch64-linux-gnu.cmake",
        "Python_INCLUDE_DIR": headers,
        "PYTHON_MODULE_EXTENSION": SUFFIX,
        "PYTHON_MODULE_DEBUG_POSTFIX": "",
        # Debian's pyconfig.h is one for all architectures, which includes that of each.
        "CMAKE_CXX_FLAGS": f"-idirafter {root / 'usr/include'}",
    }
    settings = [f"--config-settings=cmake.define.{key}={value}" for key, value in defines.items()]
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--quiet"]
    subprocess.run(
        [*pip, *settings, "--wheel-dir", out, CPP.parent],
        check=True,
        env={**os.environ, "_PYTHON_HOST_PLATFORM": "linux-aarch64"},
    )


def findings(wheel: Path) -> list[str]:
    """What is wrong with it, in words."""
    with zipfile.ZipFile(wheel) as archive:
        extensions = [name for name in archive.namelist() if name.endswith(".so")]
        if extensions != [f"tercet_engine/_core{SUFFIX}"]:
            return [f"has extensions {extensions}, must have one that ends in {SUFFIX}"]
        with archive.open(extensions[0]) as file:
            machine = file.read(MACHINE_AT + 2)[MACHINE_AT:]
    return [] if machine == AARCH64 else [f"{extensions[0]} is for ELF machine {machine.hex()}"]


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2] if len(sys.argv) == 3 else "dist")))
