"""One folder in another's place, so that at every moment the name leads to one that is whole.

POSIX renames no folder over another that holds something; Linux can exchange two names at once.
Where it cannot (an old C library, a file system over a network), the old folder steps aside first,
and stays beside until the new one is there: `convert.py` removes none that may be the only one.
"""

import contextlib
import ctypes
import os
import shutil
from pathlib import Path
from typing import Final

_HERE: Final = -100
"""AT_FDCWD: paths begin where this process is."""
_EXCHANGE: Final = 2


def put_in_place(folder: Path, out: Path) -> None:
    """Give a folder the name `out`, and remove the one that had it, if any.

    Raises:
        OSError: it cannot be done; `out` is as before.
    """
    if not out.exists():
        folder.rename(out)
        return
    if exchange(folder, out):
        old = folder
    else:
        old = folder.with_suffix(".old")
        out.rename(old)
        try:
            folder.rename(out)
        except BaseException:
            old.rename(out)
            raise
    shutil.rmtree(old, ignore_errors=True)  # what is left is removed by the next conversion


def exchange(one: Path, other: Path) -> bool:
    """Let two folders have each other's names, at once, and tell whether that could be done."""
    with contextlib.suppress(AttributeError, OSError):  # AttributeError: not in this C library
        rename = ctypes.CDLL(None, use_errno=True).renameat2
        return bool(rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0)
    return False
