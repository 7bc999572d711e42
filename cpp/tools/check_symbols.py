"""Checks that each kernel object file defines one symbol, its table, and no weak ones.

A kernel file is compiled for instructions that the machine may not have. If it exports a copy of
an inline function, the linker may choose that copy for the whole program, which then dies of an
illegal instruction on an older CPU. One global symbol and nothing weak makes that impossible.

`nm` is the one that CMake found for the compiler, so objects for other machines are read too.

Usage: check_symbols.py BUILD_FOLDER
"""

import re
import subprocess
import sys
from pathlib import Path

# Mach-O puts one more underscore before every name.
TABLE = re.compile(r"_?_ZN6tercet\w+KernelsE")
# Data as ELF has it; constants in a section of their own, as Mach-O keeps them.
DATA = ("D", "S")


def nm_of(build_folder: Path) -> str:
    """Returns the `nm` that goes with a build folder's compiler; "nm" if CMake knows of none."""
    cache = build_folder / "CMakeCache.txt"
    text = cache.read_text("utf-8") if cache.exists() else ""
    found = re.search(r"^CMAKE_NM:FILEPATH=(/.+)$", text, re.MULTILINE)
    return found[1] if found else "nm"


def exported_symbols(nm: str, object_file: Path) -> list[tuple[str, str]]:
    """Returns (kind, name) of every symbol that other object files can see.

    Args:
        nm: The program that lists them.
        object_file: A compiled kernel file.

    Raises:
        subprocess.CalledProcessError: `nm` cannot read the file.
    """
    command = [nm, "--extern-only", "--defined-only", "--format=posix", str(object_file)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [(line.split()[1], line.split()[0]) for line in listing.splitlines()]


def findings(nm: str, object_file: Path) -> list[str]:
    """Returns what is wrong with one object file, in words; nothing if it is as it must be."""
    symbols = exported_symbols(nm, object_file)
    tables = [name for kind, name in symbols if kind in DATA and is_table(name)]
    found = [
        f"{object_file.name}: exports {name} ({kind}): keep it in an anonymous namespace"
        for kind, name in symbols
        if name not in tables
    ]
    if len(tables) != 1:
        found.append(f"{object_file.name}: exports {len(tables)} kernel tables, must be one")
    return found


def is_table(name: str) -> bool:
    """Says whether a mangled name is that of a kernel table such as tercet::kAvx2Kernels."""
    return TABLE.fullmatch(name) is not None


def main(build_folder: Path) -> int:
    """Checks every kernel object under a build folder; returns the exit status."""
    objects = sorted(build_folder.glob("**/kernels_*.dir/**/*.o"))
    if not objects:
        print(f"{build_folder}: no kernel object files; build first", file=sys.stderr)
        return 2
    nm = nm_of(build_folder)
    found = [finding for object_file in objects for finding in findings(nm, object_file)]
    for finding in found:
        print(finding, file=sys.stderr)
    print(f"{len(objects)} kernel objects checked, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
