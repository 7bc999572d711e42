"""Every flag of every command refuses what it cannot mean: in a sentence, at once, with status 2.

The flags are those that the commands have, so that a new one is tried without a word here.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from tercet_server.app import create_app
from tercet_server.cli.app import COMMANDS
from tercet_server.settings import Settings
from tercet_server.tls import check_tls
from tests.cli.conftest import Outcome

Tercet = Callable[..., Outcome]

NUMBERS = ("0", "2147483648", "9223372036854775808", "1" + "0" * 30, "nan", "inf")
NEVER = ("abc\x1b[31m", "-1", "9" * 5000)
"""What no number, word or file is."""
ACCEPTED = 99
"""Status of a command that would have begun to work."""
MORE = {
    "pull": ["org/name"],
    "inspect": ["/no/such/model"],
    "verify": ["/no/such/model"],
    "convert": ["/no/such/model", "/no/such/folder"],
    "chat": ["--url", "http://127.0.0.1:1"],
}
FREE = {
    *("model", "target", "name", "path", "out", "synthetic", "url"),
    *("served_model_name", "host", "api_key", "cors_origin", "allowed_host", "kernels", "packing"),
    *("store_path",),
    *("tls_cert", "tls_key", "system", "token", "file", "revision", "as_name", "folders"),
}
"""Parameters that take any text: whether it means something is found out later."""


def flags_of(command: str) -> Iterator[Any]:
    for param in get_command(import_module(f"tercet_server.cli.{command}").app).params:
        if param.param_type_name == "option" and not getattr(param, "is_flag", False):
            yield param


FLAGS = [
    pytest.param(command, param.opts[0], param.name, id=f"{command} {param.opts[0]}")
    for command in COMMANDS
    for param in flags_of(command)
]
NUMERIC = [flag for flag in FLAGS if flag.values[2] not in FREE]


@pytest.fixture(autouse=True)
def nothing_is_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands go as far as their flags are looked at, and no further."""

    def stop(*_: object, **__: object) -> None:
        raise typer.Exit(ACCEPTED)

    def serve(settings: Settings, **_: object) -> int:
        check_tls(settings)
        settings.engine_config()
        store = create_app(settings, None).state.response_store
        if store is not None:
            store.close()
        return ACCEPTED

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tercet_server.cli.serve.run_server", serve)
    monkeypatch.setattr("tercet_server.cli.bench.load_subject", stop)
    monkeypatch.setattr("tercet_server.cli.doctor.examine", stop)


def assert_is_told(outcome: Outcome) -> None:
    assert outcome.exit_code in {0, 1, 2, ACCEPTED}
    assert len(outcome.err.splitlines()) <= 1
    assert "unexpected" not in outcome.err
    assert outcome.err.removesuffix("\n").isprintable()
    if outcome.exit_code in {1, 2}:
        assert outcome.err.startswith("tercet: ")


@pytest.mark.slow
@pytest.mark.parametrize(("command", "flag", "name"), FLAGS)
def test_what_a_flag_cannot_mean_is_refused_by_its_name(
    tercet: Tercet, command: str, flag: str, name: str
) -> None:
    for value in ("", *NUMBERS, *NEVER):
        outcome = tercet(command, *MORE.get(command, []), flag, value)
        assert_is_told(outcome)
        if value in NEVER and name not in FREE:
            assert outcome.exit_code == 2, value[:20]
            assert flag in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({f.values[2] for f in NUMERIC if f.values[0] == "serve"}))
@pytest.mark.parametrize("value", ["abc", "-1", "9" * 400])
def test_the_same_is_refused_in_a_variable_and_in_a_file(
    tercet: Tercet, name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TERCET_{name.upper()}", value)
    by_variable = tercet("serve")
    monkeypatch.delenv(f"TERCET_{name.upper()}")
    assert (by_variable.exit_code, name.upper() in by_variable.err) == (2, True)
    assert_is_told(by_variable)
    if name != "config":
        (tmp_path / "tercet.toml").write_text(f'{name} = "{value}"\n')
        by_file = tercet("serve", "--config", "tercet.toml")
        assert (by_file.exit_code, name.replace("_", "-") in by_file.err) == (2, True)
        assert_is_told(by_file)
