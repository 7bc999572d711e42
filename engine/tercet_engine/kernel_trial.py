"""Tries a kernel set in a process of its own, where instructions that fail end nobody else.

For sets whose instructions need more of a machine than can be asked: a hypervisor or a kernel may
say that it has them and still not let them run.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

_SECONDS: Final = 30.0
_SCRIPT: Final = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tercet_engine._core", sys.argv[1])
core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(core)
sys.exit(core.self_test(sys.argv[2]))
"""


def try_kernels(kernels: str, extension: Path) -> str | None:
    """Compare a kernel set with the reference, at a distance.

    Args:
        kernels: its name.
        extension: the file of `_core`.

    Returns:
        None when every bit agrees, else what went wrong.
    """
    command = [sys.executable, "-c", _SCRIPT, str(extension), kernels]
    try:
        trial = subprocess.run(  # noqa: S603 -- our own words
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no result within {_SECONDS:.0f} s"
    except OSError as error:
        return f"they could not be tried: {error.strerror}"
    if trial.returncode == 0:
        return None
    if trial.returncode < 0:
        return f"a trial was ended by signal {-trial.returncode}"
    lines = trial.stderr.splitlines() or [f"a trial ended with status {trial.returncode}"]
    return lines[-1][-300:]
