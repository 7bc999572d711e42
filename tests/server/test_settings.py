"""Flags and environment into one record, and what is said of mistakes."""

from pathlib import Path

import pytest

from tercet_engine import EngineConfig, InvalidConfig
from tercet_server.settings import InvalidSettings, Settings, load_settings


def test_the_engines_defaults_are_the_engines_own() -> None:
    assert load_settings().engine_config() == EngineConfig()


def test_the_environment_speaks_for_every_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERCET_PORT", "9000")
    monkeypatch.setenv("TERCET_API_KEY", "a, b")
    monkeypatch.setenv("TERCET_KV_CACHE_BYTES", "512MiB")
    monkeypatch.setenv("TERCET_PREFIX_CACHE", "false")
    settings = load_settings()

    assert settings.port == 9000
    assert [key.get_secret_value() for key in settings.api_key] == ["a", "b"]
    assert settings.engine_config().kv_cache_bytes == 512 * 2**20
    assert settings.prefix_cache is False


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERCET_PORT", "9000")
    assert load_settings(port=9001).port == 9001


def test_a_flag_that_is_not_given_leaves_the_environment_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERCET_PORT", "9000")
    assert load_settings(port=None).port == 9000


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERCET_MODEL", "")
    assert load_settings().model == ()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": 99999}, "--port (TERCET_PORT) must be at most 65535; got 99999"),
        ({"port": "http"}, "--port (TERCET_PORT) must be a whole number; got 'http'"),
        ({"head": "fp4"}, "--head (TERCET_HEAD) must be 'int8' or 'bf16'; got 'fp4'"),
        (
            {"drain_seconds": -1},
            "--drain-seconds (TERCET_DRAIN_SECONDS) must be at least 0; got -1",
        ),
        (
            {"drain_seconds": "inf"},
            "--drain-seconds (TERCET_DRAIN_SECONDS) must be at most 31536000; got 'inf'",
        ),
        ({"store_days": "1e400"}, "--store-days (TERCET_STORE_DAYS) must be at most 36500"),
        ({"ping_seconds": "nan"}, "--ping-seconds (TERCET_PING_SECONDS) must be at most"),
        ({"api_key": [""]}, "--api-key (TERCET_API_KEY) must not be empty"),
        (
            {"api_key_file": "/nowhere"},
            "--api-key-file (TERCET_API_KEY_FILE) /nowhere cannot be read: No such file",
        ),
        (
            {"store_bytes": "1 zb"},
            "--store-bytes (TERCET_STORE_BYTES) must be a size in bytes, such as 512MiB; got '1 zb",
        ),
        ({"config": ""}, "--config (TERCET_CONFIG): . cannot be read: Is a directory"),
        ({"tls_cert": "a\0b"}, "--tls-cert (TERCET_TLS_CERT) must be a path, which holds no NUL"),
    ],
)
def test_a_mistake_is_named_with_its_rule_and_its_value(
    flags: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidSettings) as raised:
        load_settings(**flags)
    assert str(raised.value).startswith(words)


def test_a_private_key_without_its_certificate_is_a_mistake() -> None:
    with pytest.raises(InvalidSettings, match="--tls-key is of no use without --tls-cert"):
        load_settings(tls_key="key.pem")


def test_the_older_name_of_the_logs_form_is_understood() -> None:
    assert load_settings(log_format="console").log_format == "text"


def test_every_mistake_has_its_line() -> None:
    with pytest.raises(InvalidSettings) as raised:
        load_settings(port=-1, ping_seconds=0, log_level="loud")
    assert len(str(raised.value).splitlines()) == 3


def test_keys_come_from_a_file_too(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# for the web\nweb-key\n\n  batch-key  \n")
    keys = load_settings(api_key=["mine"], api_key_file=path).api_key
    assert [key.get_secret_value() for key in keys] == ["mine", "web-key", "batch-key"]


def test_a_file_without_keys_does_not_open_the_server(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# nobody yet\n")
    with pytest.raises(InvalidSettings, match="holds no key"):
        load_settings(api_key_file=path)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]


def test_contradictions_within_the_engine_are_the_engines_to_tell() -> None:
    settings = Settings(max_sequences=64, batch_tokens=8)
    with pytest.raises(InvalidConfig, match="max_sequences must be at most"):
        settings.engine_config()


@pytest.mark.parametrize("blank", [" ", ",", " , ,"])
def test_a_variable_for_keys_that_holds_none_does_not_open_the_server(
    monkeypatch: pytest.MonkeyPatch, blank: str
) -> None:
    monkeypatch.setenv("TERCET_API_KEY", blank)

    with pytest.raises(InvalidSettings, match="must hold at least one key"):
        load_settings()


def test_a_served_name_is_not_empty() -> None:
    with pytest.raises(InvalidSettings, match="served-model-name"):
        load_settings(served_model_name=("",))
