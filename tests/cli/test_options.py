"""The flags of `tercet serve` are the settings' fields."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from tercet_server.cli.app import COMMANDS
from tercet_server.cli.options import ARGUMENTS, WORDINGS, flag_of, variable_of, with_settings
from tercet_server.settings import Settings, load_settings
from tests.cli.conftest import Outcome

Tercet = Callable[..., Outcome]

FLAGS = sorted(set(Settings.model_fields) - ARGUMENTS)


@pytest.fixture(scope="module")
def given() -> Callable[..., dict[str, Any]]:
    """What a command would be called with for these arguments."""
    calls: list[dict[str, Any]] = []
    app = typer.Typer(add_completion=False)

    @app.command()
    @with_settings
    def record(**values: Any) -> None:
        calls.append(values)

    def run(*arguments: str) -> dict[str, Any]:
        app(list(arguments), standalone_mode=False)
        return calls.pop()

    return run


def test_every_field_has_a_wording_and_every_wording_a_field() -> None:
    assert set(WORDINGS) == set(FLAGS)


def test_help_shows_the_flag_and_the_variable_of_every_field(tercet: Tercet) -> None:
    text = tercet("serve", "--help").out

    for name in FLAGS:
        assert flag_of(name) in text
        assert variable_of(name) in text
    assert "TERCET_MODEL" in text


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_names_a_variable_for_every_flag_of_every_command(tercet: Tercet, name: str) -> None:
    params = get_command(import_module(f"tercet_server.cli.{name}").app).params
    flags = [p for p in params if p.opts[0].startswith("--") and p.name != "help"]
    text = tercet(name, "--help").out

    for flag in flags:
        field = flag.opts[0].removeprefix("--").replace("-", "_")
        variable = flag.envvar or variable_of(str(flag.name))  # `serve` reads its own
        known = {variable_of(field), variable_of(f"{name}_{field}")}
        assert variable in known | {"HF_TOKEN"}  # the Hub's own, for `pull --token`
        assert variable in text


def test_help_shows_defaults_as_they_would_be_written(tercet: Tercet) -> None:
    text = " ".join(tercet("serve", "--help").out.replace("│", " ").split())

    assert "[env: TERCET_PORT; default: 8000]" in text
    assert "[env: TERCET_MAX_BODY_BYTES; default: 4MiB]" in text
    assert "[env: TERCET_PREFIX_CACHE; default: on]" in text
    assert "[env: TERCET_THREADS]" in text


def test_what_is_not_given_is_none(given: Callable[..., dict[str, Any]]) -> None:
    assert given() == dict.fromkeys(["model", *FLAGS])


SAMPLES = {
    "alias": ("a=b", ("a=b",)),
    "served_model_name": ("a", ("a",)),
    "cors_origin": ("*", ("*",)),
    "allowed_host": ("a.example", ("a.example",)),
    "api_keys_file": ("keys.toml", Path("keys.toml")),
    "tls_cert": ("cert.pem", Path("cert.pem")),
    "max_output_tokens": ("12", 12),
    "queue_timeout": ("2.5", 2.5),
    "otlp_endpoint": ("http://localhost:4318", "http://localhost:4318"),
    "context": ("64", 64),
    "head": ("bf16", "bf16"),
    "activations": ("int8", "int8"),
    "kv_type": ("f32", "f32"),
    "threads": ("1", 1),
    "kernels": ("avx2", "avx2"),
    "packing": ("2bit", "2bit"),
    "kv_cache_bytes": ("1MiB", 1 << 20),
    "batch_tokens": ("100", 100),
    "max_sequences": ("3", 3),
    "max_step_ms": ("90", 90),
    "speculation": ("off", "off"),
    "host": ("0.0.0.0", "0.0.0.0"),
    "port": ("0", 0),
    "keep_alive_seconds": ("5", 5),
    "ping_seconds": ("1.5", 1.5),
    "stalled_client_seconds": ("2", 2.0),
    "drain_seconds": ("0", 0.0),
    "max_waiting_requests": ("7", 7),
    "max_waiting_tokens": ("8", 8),
    "max_concurrent_requests": ("9", 9),
    "max_body_bytes": ("2kB", 2000),
    "max_prompt_chars": ("10", 10),
    "request_timeout_seconds": ("11", 11.0),
    "store_path": ("x.db", Path("x.db")),
    "store_responses": ("5", 5),
    "store_bytes": ("1MiB", 1 << 20),
    "store_days": ("0.5", 0.5),
    "background_responses": ("0", 0),
    "log_level": ("error", "error"),
    "log_format": ("json", "json"),
}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_flag_and_its_variable_set_the_same_value(
    name: str, given: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    written, value = SAMPLES[name]

    by_flag = load_settings(**given(flag_of(name), written))
    monkeypatch.setenv(variable_of(name), written)
    by_variable = load_settings(**given())

    assert getattr(by_flag, name) == getattr(by_variable, name) == value
    assert value != Settings.model_fields[name].default


def test_the_sample_values_cover_every_plain_field() -> None:
    others = {"api_key", "api_key_file", "page", "prefix_cache", "store"}  # tested below
    others |= {"config", "gateway_metrics", "tls_key"}

    assert set(SAMPLES) | others == set(FLAGS)


def test_a_flag_wins_over_the_environment(
    given: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERCET_PORT", "9001")
    monkeypatch.setenv("TERCET_MODEL", "from/environment")

    settings = load_settings(**given("from/argument", "--port", "9002"))

    assert (settings.port, settings.model) == (9002, ("from/argument",))


@pytest.mark.parametrize("name", ["gateway_metrics", "page", "prefix_cache", "store"])
def test_a_flag_of_yes_or_no_wins_over_the_environment_both_ways(
    given: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    flag = flag_of(name)
    monkeypatch.setenv(variable_of(name), "false")
    assert getattr(load_settings(**given()), name) is False
    assert getattr(load_settings(**given(flag)), name) is True

    monkeypatch.setenv(variable_of(name), "true")
    assert getattr(load_settings(**given(f"--no-{flag.removeprefix('--')}")), name) is False


def test_keys_may_be_repeated_and_come_from_a_file(
    given: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("third\n")

    values = given("--api-key", "first", "--api-key", "second", "--api-key-file", str(keys))
    settings = load_settings(**values)

    assert [key.get_secret_value() for key in settings.api_key] == ["first", "second", "third"]


def test_a_private_key_goes_with_its_certificate(given: Callable[..., dict[str, Any]]) -> None:
    settings = load_settings(**given("--tls-cert", "cert.pem", "--tls-key", "key.pem"))
    assert settings.tls_key == Path("key.pem")


def test_a_file_of_settings_is_named_by_flag_or_variable(
    given: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "tercet.toml"
    path.write_text("port = 9000\n")
    assert load_settings(**given("--config", str(path))).port == 9000
    monkeypatch.setenv("TERCET_CONFIG", str(path))
    assert load_settings(**given()).port == 9000
    assert load_settings(**given("--port", "9001")).port == 9001
