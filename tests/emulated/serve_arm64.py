"""A server for 64-bit ARM under QEMU answers as the native one does, byte for byte.

    make wheel-arm ARM64_ROOT=ROOT
    python -m tests.emulated.serve_arm64 ROOT dist/tercet-…-linux_aarch64.whl [CPU ...]

ROOT is an arm64 Debian with Python; docs/building.md says how it is made. The wheel is unpacked
into a folder of its own; whatever it depends on must be on the path of ROOT's Python. CPUs are
those of `qemu-aarch64 -cpu help`; without any: max, which has every extension, and cortex-a53,
which has none. A server starts its own interpreter again to try kernels, so QEMU must be known to
the kernel (binfmt_misc); the script asks that first.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from tests.wheel_smoke import answer_of

USUAL_CPUS = ("max", "cortex-a53")
BINFMT = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")


def main(root: Path, wheel: Path, cpus: tuple[str, ...]) -> int:
    """Ask the native server and one on every CPU; say what differs."""
    if not BINFMT.is_file():
        print(f"there is no {BINFMT}: register QEMU (qemu-user-static)", file=sys.stderr)
        return 2
    native = answer_of([sys.executable], "--threads", "2")
    print(f"native: {native['message']['content']!r}")
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        differ = [cpu for cpu in cpus if not is_same(native, root, Path(folder), cpu)]
    print(f"{len(cpus) - len(differ)} of {len(cpus)} emulated CPUs answer the same bytes")
    return 1 if differ else 0


def is_same(native: dict[str, Any], root: Path, packages: Path, cpu: str) -> bool:
    """Whether a server on this CPU answers the same text with the same log-probabilities."""
    python = [str(root / "usr/bin/python3")]
    variables = {
        "QEMU_LD_PREFIX": str(root),
        "QEMU_CPU": cpu,
        "PYTHONPATH": str(packages),
    }
    emulated = answer_of(python, "--threads", "2", **variables)
    same = written(emulated) == written(native)
    print(f"{cpu}, kernels {kernels(python, variables)}: {'the same' if same else emulated}")
    return same


def kernels(python: list[str], variables: dict[str, str]) -> str:
    """The set that such a server chooses."""
    script = "import tercet_engine; print(tercet_engine.supported_kernels()[0])"
    environment = {**os.environ, **variables}
    return subprocess.check_output([*python, "-c", script], env=environment, text=True).strip()


def written(choice: dict[str, Any]) -> str:
    """All of it, in one order."""
    return json.dumps(choice, sort_keys=True)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(
        main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]), tuple(sys.argv[3:]) or USUAL_CPUS)
    )
