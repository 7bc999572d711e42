"""What `--help` tells, and how quickly it can."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tercet_server.cli.app import COMMANDS
from tests.cli.conftest import Outcome

Tercet = Callable[..., Outcome]


def test_help_lists_every_command_with_its_summary(tercet: Tercet) -> None:
    outcome = tercet("--help")

    assert outcome.exit_code == 0
    for name, summary in COMMANDS.items():
        assert name in outcome.out
        assert summary in outcome.out


@pytest.mark.parametrize("arguments", [[], ["serve"], ["chat"], ["bench"], ["doctor"]])
def test_every_help_ends_in_examples(tercet: Tercet, arguments: list[str]) -> None:
    outcome = tercet(*arguments, "--help")

    assert outcome.exit_code == 0
    _, _, examples = outcome.out.partition("Examples:")
    assert " ".join(["tercet", *arguments]) in examples


def test_the_summary_in_the_list_is_the_first_line_of_the_commands_own_help(tercet: Tercet) -> None:
    for name, summary in COMMANDS.items():
        assert summary in tercet(name, "--help").out


def test_help_imports_neither_the_engine_nor_the_server() -> None:
    script = (
        "import sys\n"
        "from tercet_server.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pydantic', 'fastapi', 'httpx', 'tokenizers', 'tercet_engine'}\n"
        "print('heavy:', *sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[-1].strip() == "heavy:"


def test_no_command_at_all_shows_the_help_and_fails_as_wrong_usage(tercet: Tercet) -> None:
    outcome = tercet()

    assert outcome.exit_code == 2
    assert "bench" in outcome.out


@pytest.mark.parametrize("argument", ["version", "--version"])
def test_the_version_is_one_line(tercet: Tercet, argument: str) -> None:
    outcome = tercet(argument)

    assert outcome.exit_code == 0
    name, version = outcome.out.split()
    assert name == "tercet"
    assert version[0].isdigit()
