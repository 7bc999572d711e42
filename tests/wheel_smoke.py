"""Serves and asks what is installed, and holds the answer to the one that every build must give.

    python tests/wheel_smoke.py                  # the environment of this interpreter
    python tests/wheel_smoke.py --python PYTHON  # of another: a fresh venv's, an emulated one's

Nothing but Python's own library is used, and the source tree is kept out of the way, so that a
wheel is tried as it is. The embedded model's answer to a seed depends on no platform, compiler or
set of kernels: a build that gives another text is broken.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

ASKED = {
    "messages": [{"role": "user", "content": "Tell me a story about a dog named Max."}],
    "seed": 7,
    "max_tokens": 48,
    "logprobs": True,
}
EXPECTED = (
    "In a big house lived a clever dog named Max. He was always clever. One day, Max wanted to see "
    "the world. He packed a black box and some cake. A gentle painter named Kroucoock came along. "
    '"'
)
SECONDS = 600  # an emulated server takes a minute to start on a busy host


def main() -> int:
    """Serve, ask, compare, stop."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", default=sys.executable, help="whose packages are tried")
    options = parser.parse_args()
    text = answer_of([options.python])["message"]["content"]
    if text != EXPECTED:
        print(f"it answers {text!r}\nand must answer {EXPECTED!r}", file=sys.stderr)
        return 1
    print(f"{options.python} serves, answers as every build must, and stops")
    return 0


def answer_of(python: Sequence[str], *options: str, **environment: str) -> dict[str, Any]:
    """What a server answers to ASKED: the choice, with its text and log-probabilities.

    Args:
        python: starts the interpreter.
        options: of `tercet serve`.
        environment: variables beside this process's own.

    Raises:
        RuntimeError: it does not start, or does not stop as it should.
    """
    with serving(python, *options, **environment) as url:
        request = urllib.request.Request(
            f"{url}/v1/chat/completions",
            json.dumps(ASKED).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            choice: dict[str, Any] = json.load(response)["choices"][0]
    return choice


@contextlib.contextmanager
def serving(python: Sequence[str], *options: str, **environment: str) -> Iterator[str]:
    """`tercet serve` of what is installed, in an empty folder; its address."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith("TERCET_")
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*python, "-m", "tercet_server", "serve", "--port", "0", *options],
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=inherited | environment,
        ) as process,
    ):
        try:
            yield address_told(process)
            process.terminate()
            process.communicate(timeout=SECONDS)
        finally:
            process.kill()
        if process.returncode != 0:
            message = f"it ended with status {process.returncode}, must be 0"
            raise RuntimeError(message)


def address_told(process: "subprocess.Popen[str]") -> str:
    """The address in the banner, once it is written."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if found := re.search(r"serves .+ at (http://\S+)/v1", line):
            return found[1]
    raise RuntimeError("it ended before it served:\n" + "".join(lines))


if __name__ == "__main__":
    sys.exit(main())
