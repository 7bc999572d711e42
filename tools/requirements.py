"""Prints what pyproject.toml says the server needs, one requirement a line."""

import sys
import tomllib
from pathlib import Path

if __name__ == "__main__":
    content = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    sys.stdout.write("\n".join(content["project"]["dependencies"]) + "\n")
