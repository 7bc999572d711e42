"""The command line's root: names the commands and imports the one that is called.

A command's own module imports the engine, pydantic or an HTTP client, which takes longer than a
reader of `--help` should wait; the list of commands needs only their names.
"""

import contextlib
import os
import sys
from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typing_extensions import override

from tercet_server.cli.examples import examples
from tercet_server.cli.failure import explain
from tercet_server.cli.version import version_line

COMMANDS: Final = {
    "serve": "Serve one model or several behind the OpenAI API.",
    "pull": "Fetch a model from the Hugging Face Hub.",
    "models": "List the models on this disk.",
    "inspect": "Tell what a model is, and whether this machine can serve it.",
    "verify": "Compare a model with published numbers, and with itself.",
    "convert": "Pack a model's weights once, so that serving it does not.",
    "chat": "Talk to a model in the terminal.",
    "bench": "Measure how fast this host runs a model, and what limits it.",
    "doctor": "Look at this host as a server would, and say what to change.",
    "version": "Print the version.",
}
"""Name to summary; the module `tercet_server.cli.<name>` holds `app`, a `Typer` of one command."""

EPILOG: Final = examples(
    ("tercet serve", "the small model inside this package"),
    ("tercet serve microsoft/bitnet-b1.58-2B-4T", "a model from the Hugging Face Hub"),
    ("tercet inspect ./model --context 4096", "what is it, does it fit?"),
    ("tercet chat", "talk to the server on this host"),
    ("tercet bench --synthetic 2b4t", "how fast is this host? downloads nothing"),
    ("tercet doctor", "is it fit to serve, and what could be better?"),
)


class LazyGroup(TyperGroup):
    """A group whose commands are imported when one is called, not when they are listed."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name])

    @override
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        if name in COMMANDS:
            command = get_command(import_module(f"tercet_server.cli.{name}").app)
            command.name = name
        return name, command, rest


def _print_version(value: bool) -> None:  # noqa: FBT001 -- typer calls it so
    if value:
        typer.echo(version_line())
        raise typer.Exit


app = typer.Typer(
    cls=LazyGroup,
    name="tercet",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Tercet serves ternary language models on ordinary CPUs, behind the OpenAI API."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit: 0 for success, 1 for a failure, 2 for wrong usage.

    What fails is told in one sentence on stderr; TERCET_DEBUG=1 shows the traceback instead.
    """
    try:
        exit_code = app(arguments, prog_name="tercet", standalone_mode=False)
        sys.stdout.flush()  # here, where it may fail
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:  # whoever read our output has left, as in `tercet bench | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get("TERCET_DEBUG", "0") not in {"", "0"}:
            raise
        failure = explain(error)
        if failure.sentence:
            with contextlib.suppress(OSError):  # there may be nobody left to tell
                typer.echo(f"tercet: {failure.sentence}", err=True)
        sys.exit(failure.exit_code)
    sys.exit(exit_code if isinstance(exit_code, int) else 0)
