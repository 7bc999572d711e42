"""Asks for known vulnerabilities of what the server installs, and says so where nobody answers.

pip-audit passes over a package that its service does not know, and where it knows none, it has
looked at nothing and is content. Here that is no success.

    python tools/audit.py PIP_AUDIT FOLDER_OF_PACKAGES

Exit codes: 0 nothing is known against any, 1 something is, 3 no answer could be had.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

NO_ANSWER: Final = 3
_OWN: Final = frozenset({"tercet"})
"""Not on the index that is asked."""


def verdict(dependencies: Sequence[Mapping[str, Any]]) -> tuple[int, list[str]]:
    """The exit code and the lines to show, of what pip-audit found."""
    others = [one for one in dependencies if one["name"] not in _OWN]
    skipped = [one for one in others if "skip_reason" in one]
    lines = [
        f"{one['name']} {one['version']}: {found['id']}, fixed in "
        f"{', '.join(found['fix_versions']) or 'no version'}"
        for one in others
        for found in one.get("vulns", ())
    ]
    if lines:
        return 1, lines
    if not others or len(skipped) == len(others):
        return NO_ANSWER, ["the vulnerability service knows none of the packages: no audit"]
    lines = [f"{one['name']}: not audited, {one['skip_reason']}" for one in skipped]
    return 0, [*lines, f"{len(others) - len(skipped)} packages, nothing known against them"]


def main(pip_audit: str, folder: str) -> int:
    """Run it and show what it found."""
    command = [pip_audit, "--path", folder, "-f", "json", "--progress-spinner", "off"]
    command += ["--timeout", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        print(f"the vulnerability service cannot be reached: no audit ({reason})")
        return NO_ANSWER
    code, lines = verdict(dependencies)
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
