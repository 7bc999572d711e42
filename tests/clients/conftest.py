"""Clients in processes of their own, before a server with the embedded model."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.clients.recipes import ROOT
from tests.server.browser import EMBEDDED, running_server

NODE_FOLDER = ROOT / "tests" / "clients" / "node"
CLIENTS_PYTHON = os.environ.get("CLIENTS_PYTHON", str(ROOT / ".venv-clients" / "bin" / "python"))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_server(EMBEDDED) as url:
        yield url


def run_node(program: str, *arguments: str) -> str:
    """What a JavaScript module prints."""
    if (node := shutil.which("node")) is None:
        pytest.skip("there is no node; apt install nodejs npm")
    if not (NODE_FOLDER / "node_modules").is_dir():
        pytest.skip("the JavaScript clients are not installed; make test-clients installs them")
    command = [node, "--input-type=module", "--eval", program, "--", *arguments]
    return _output_of(command, cwd=str(NODE_FOLDER))


def run_python(program: str) -> str:
    """What a Python program prints, run where the clients are installed."""
    if shutil.which(CLIENTS_PYTHON) is None:
        pytest.skip("the Python clients are not installed; make test-clients installs them")
    return _output_of([CLIENTS_PYTHON, "-W", "ignore", "-c", program], cwd=str(ROOT))


def run_shell(command: str) -> str:
    """What a command prints; curl's exit status tells of HTTP errors."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl; apt install curl")
    fail = command.replace("curl ", "curl --fail-with-body --silent --show-error ")
    return _output_of(["sh", "-ec", fail], cwd=str(ROOT))


def _output_of(command: list[str], cwd: str) -> str:
    done = subprocess.run(
        command, check=False, cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
