"""docs/security.md names tests, files and flags that there are, and every table has its tests."""

import re
from pathlib import Path

from tercet_server.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
SOURCES = [ROOT / "server" / "tercet_server", ROOT / "engine" / "tercet_engine"]


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/.]+)`", TEXT))
    assert len(named) > 15
    for name in named:
        assert "def test_" in (ROOT / name).read_text(), name


def test_every_file_that_is_named_exists() -> None:
    named = set(re.findall(r"`((?!tests/)[\w/]+(?:\.py|/))`", TEXT)) - {"/api/"}
    assert len(named) > 15
    for name in named:
        assert any(list(folder.rglob(name.rstrip("/"))) for folder in SOURCES), name


def test_every_flag_that_is_named_exists() -> None:
    flags = {name.replace("-", "_") for name in re.findall(r"`--([a-z][a-z-]+)", TEXT)}
    assert flags
    assert flags <= Settings.model_fields.keys()


def test_every_threat_has_a_defence_and_a_test() -> None:
    rows = re.findall(
        r"^\| threat \| defence \| test \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE
    )
    assert len(rows) == 6
    for row in "".join(rows).splitlines():
        _, threat, defence, test, _ = (part.strip() for part in row.split("|"))
        assert threat
        assert defence
        assert test.startswith("`tests/"), row
