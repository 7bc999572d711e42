"""Settings from a file: every flag by its name, the least of the three sources."""

from pathlib import Path

import pytest

from tercet_server.settings import InvalidSettings, Settings, load_settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tercet.toml"


def test_every_kind_of_value_is_read(path: Path) -> None:
    path.write_text(
        """
        model = "org/name"
        port = 9000
        max-body-bytes = "2MiB"
        queue_timeout = 2.5
        served-model-name = ["a", "b"]
        page = false
        kv-type = "int8"
        api-key = ["one"]
        """
    )
    settings = load_settings(config=path)

    assert (settings.model, settings.port, settings.max_body_bytes) == (
        ("org/name",),
        9000,
        2 << 20,
    )
    assert (settings.queue_timeout, settings.page, settings.kv_type) == (2.5, False, "int8")
    assert settings.served_model_name == ("a", "b")
    assert [key.get_secret_value() for key in settings.api_key] == ["one"]


def test_a_flag_wins_over_the_environment_and_that_over_the_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("port = 1\nthreads = 1\ncontext = 100\n")
    monkeypatch.setenv("TERCET_PORT", "2")
    monkeypatch.setenv("TERCET_THREADS", "2")
    settings = load_settings(config=path, port=3)

    assert (settings.port, settings.threads, settings.context) == (3, 2, 100)
    assert settings.max_sequences == Settings.model_fields["max_sequences"].default


def test_the_file_may_be_named_by_a_variable_in_any_case(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("port = 1\nthreads = 1\n")
    monkeypatch.setenv("tercet_config", str(path))
    monkeypatch.setenv("tercet_port", "2")
    settings = load_settings()

    assert (settings.port, settings.threads) == (2, 1)


def test_an_empty_variable_leaves_the_file_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("port = 1\n")
    monkeypatch.setenv("TERCET_PORT", "")
    assert load_settings(config=path).port == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot = 1", r"there is no setting 'prot' \(did you mean port\?\); "),
        ("zzzzzzz = 1", r"there is no setting 'zzzzzzz'; `tercet serve --help`"),
        ("config = 'x'", r"there is no setting 'config'"),
        ("port = 99999", "port in the file of --config must be at most 65535; got 99999"),
        ("port = ", "is not valid TOML"),
        ("[port]\nx = 1", "port must be a value, not a table"),
        ("max-body-bytes = 1\nmax_body_bytes = 1", "is given twice"),
        ("a" * (1 << 20) + " = 1", "more than 1048576 bytes"),
    ],
)
def test_a_mistake_is_named(path: Path, text: str, words: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidSettings, match=words):
        load_settings(config=path)


@pytest.mark.parametrize("text", ["api-key = 778899", "api-key = [778899]"])
def test_no_mistake_shows_a_key(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InvalidSettings, match="api-key in the file of --config must be") as raised:
        load_settings(config=path)
    assert "778899" not in str(raised.value)


def test_a_file_that_is_not_there_is_a_mistake(path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"--config .*cannot be read: No such file"):
        load_settings(config=path)


def test_every_unknown_key_has_its_line(path: Path) -> None:
    path.write_text("one = 1\ntwo = 2\n")
    with pytest.raises(InvalidSettings) as raised:
        load_settings(config=path)
    assert len(str(raised.value).splitlines()) == 2
