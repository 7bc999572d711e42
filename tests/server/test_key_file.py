import hashlib
from pathlib import Path

import pytest

from tercet_server.config_file import InvalidConfigFile
from tercet_server.key_file import ApiKey, digest_of, read_key_file

DIGEST = hashlib.sha256(b"hush").hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.toml"


def test_keys_are_read_with_their_limits(path: Path) -> None:
    path.write_text(
        f"""
        [[key]]
        name = "web"
        sha256 = "{DIGEST.upper()}"
        requests_per_minute = 60
        tokens_per_minute = 20000
        concurrency = 4
        priority = -5

        [[key]]
        name = "batch"
        key = ["old", "new"]
        """
    )
    assert read_key_file(path) == (
        ApiKey("web", (digest_of(b"hush"),), 60, 20000, 4, -5),
        ApiKey("batch", (digest_of(b"old"), digest_of(b"new")), None, None, None, 0),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "key is required"),
        ("key = []", "key must have 1 or more entries"),
        ("[[key]]\nname = 'a'", "the key a has neither key nor sha256"),
        ("[[key]]\nname = 'a b'\nkey = 'x'", r"key\[0\]\.name must match"),
        ("[[key]]\nname = 'a'\nsha256 = 'abc'", r"key\[0\]\.sha256\[0\] must match"),
        ("[[key]]\nname = 'a'\nkey = ''", r"key\[0\]\.key\[0\] must have 1 or more characters"),
        ("[[key]]\nname = 'a'\nkey = 'x'\nrpm = 1", r"key\[0\]\.rpm is no field of a key"),
        ("[[key]]\nname = 'a'\nkey = 'x'\nconcurrency = 0", "must be at least 1; got 0"),
        ("[[key]]\nname = 'a'\nkey = 'x'\npriority = 2000", "must be at most 1000; got 2000"),
        ("[[key]]\nname = 'a'\nkey = 'x'\n[[key]]\nname = 'a'\nkey = 'y'", "names must differ"),
        ("[[key]]\nname = 'a'\nkey = 'x'\n[[key]]\nname = 'b'\nkey = 'x'", "keys must differ"),
        ("[[key", "is not valid TOML"),
        ("other = 1\n[[key]]\nname = 'a'\nkey = 'x'", "other is no field"),
    ],
)
def test_a_mistake_is_named(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidConfigFile, match=words):
        read_key_file(path)


@pytest.mark.parametrize(
    "text",
    [
        "[[key]]\nname = 'hush 77'\nsha256 = 'hush 77'\nkey = [1, 'hush 77']",
        "[[key]]\nname = 'a'\nkey = 'x'\npriority = 'hush 77'\nconcurrency = 'hush 77'",
        "[[key]]\nname = 'a'\nkey = 77",
        "[[key]]\nname = 77\nkey = 'x'",
        "key = 'hush 77'",
        "key = ['hush 77']",
        "key = {hush = 77}",
        "[[key]]\nname = 'a'\nkey = hush 77",
    ],
)
def test_no_mistake_shows_a_key(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(InvalidConfigFile) as raised:
        read_key_file(path)
    shown = str(raised.value).replace(str(path), "")
    assert "hush" not in shown
    assert "77" not in shown
