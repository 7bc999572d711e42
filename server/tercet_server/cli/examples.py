"""The examples at the end of each command's `--help`."""

import shutil
from typing import Final

_WHY_COLUMN: Final = 46


def examples(*lines: tuple[str, str]) -> str:
    """Lay out commands and what each is for, as an epilog.

    Typer's help keeps the line breaks of an epilog only where an empty line follows, or in one
    paragraph; so this is one paragraph, set for the width of the terminal.
    """
    wide = shutil.get_terminal_size().columns >= 100
    return "\n".join(
        ["Examples:"]
        + [
            f"  {command:<{_WHY_COLUMN}}  # {why}" if wide else f"  # {why}\n  {command}"
            for command, why in lines
        ]
    )
