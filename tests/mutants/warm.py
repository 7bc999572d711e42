"""Runs tests against a copy of the packages, in a child of a process that has imported the rest.

Importing what others wrote takes longer than most tests, and is the same for every mutant.
"""

import importlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from tests.another_copy import ROOT, run_pytest

PASSED, FAILED, TIMED_OUT = 0, 1, -1
_LIBRARIES: Final = (
    *("numpy", "pydantic", "pydantic_settings", "fastapi", "starlette.testclient", "uvicorn"),
    *("httpx", "pytest", "jinja2.sandbox", "sse_starlette", "prometheus_client", "structlog"),
    *("tokenizers", "rich.console", "typer", "jsonschema", "asyncio", "sqlite3"),
)

_IMPORTED: Final = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"


def warm_up() -> None:
    """Import what every run needs and no mutant changes."""
    for name in _LIBRARIES:
        importlib.import_module(name)


def run_tests(folder: Path, names: Iterable[str], seconds: float = 120) -> tuple[int, str]:
    """Run some tests against the packages in `folder`; how that ended, and what was said."""
    tests = [name if name.startswith("-") else f"tests/{_place(name)}" for name in names]
    with tempfile.TemporaryFile() as said:
        sys.stdout.flush()
        if not (child := os.fork()):
            _run(folder, tests, said.fileno())
        code = _wait(child, seconds)
        said.seek(0)
        return code, said.read().decode(errors="replace")


def _place(name: str) -> str:
    return name if ".py" in name else f"engine/{name}.py"


def _run(folder: Path, tests: list[str], said: int) -> NoReturn:
    code = FAILED
    try:
        os.setsid()  # whatever it starts ends with it
        os.dup2(said, 1)
        os.dup2(said, 2)
        os.chdir(ROOT)
        os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "examples")
        code = run_pytest(folder, "-x", "-m", "not slow", "-W", _IMPORTED, *tests)
    except BaseException:  # noqa: BLE001 -- the child ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(child: int, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                # A process that was killed was noticed, too.
                return FAILED if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            time.sleep(0.02)
        return TIMED_OUT
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def installed_extension() -> Path:
    """The extension that the environment has, found without importing it here."""
    script = "import tercet_engine._core as core; print(core.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return Path(found.stdout.strip())
