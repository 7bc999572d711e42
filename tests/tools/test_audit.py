"""An audit that looked at nothing is no success."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

_PATH = Path(__file__).parents[2] / "tools" / "audit.py"
_SPEC = importlib.util.spec_from_file_location("audit", _PATH)
assert _SPEC
assert _SPEC.loader
audit: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(audit)

FINE = {"name": "a", "version": "1", "vulns": []}
SKIPPED = {"name": "b", "version": "1", "skip_reason": "not found"}
WRONG = {
    "name": "c",
    "version": "1",
    "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}, {"id": "CVE-2", "fix_versions": []}],
}


@pytest.mark.parametrize(
    ("dependencies", "code", "words"),
    [
        ([FINE, FINE], 0, "2 packages, nothing known"),
        ([FINE, SKIPPED], 0, "b: not audited, not found"),
        ([SKIPPED, SKIPPED], 3, "no audit"),
        ([], 3, "no audit"),
        ([{**FINE, "name": "tercet"}], 3, "no audit"),
        ([FINE, WRONG], 1, "c 1: CVE-1, fixed in 2"),
    ],
)
def test_a_verdict(dependencies: list[dict[str, Any]], code: int, words: str) -> None:
    found, lines = audit.verdict(dependencies)
    assert found == code
    assert words in "\n".join(lines)


def test_a_service_that_does_not_answer_is_told(tmp_path: Path, capsys: Any) -> None:
    program = tmp_path / "pip-audit"
    program.write_text("#!/bin/sh\necho 'no route to host' >&2\nexit 1\n")
    program.chmod(0o755)
    assert audit.main(str(program), str(tmp_path)) == 3
    assert "cannot be reached: no audit (no route to host)" in capsys.readouterr().out
