"""The command `tercet`: serve a model, measure a host, talk to a model.

The commands live in a module each and are imported when they are called, so that `tercet --help`
answers at once.
"""

import os
import signal
import sys


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; see `app.main`."""
    _open_what_is_closed()
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's own shows a traceback
    from tercet_server.cli.app import main as run  # noqa: PLC0415 -- takes a moment

    signal.signal(signal.SIGINT, before)
    run(arguments)


def _open_what_is_closed() -> None:
    """Standard streams that whoever started us has closed: else the next file takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the least number that is free: this one
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


__all__ = ["main"]
