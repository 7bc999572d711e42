"""How many connections this process can hold: each is an open file, and those are few by default.

Most systems let a process open 1024 files until it asks for more. Beyond that connections cannot
even be refused: they hang. So the server asks for what it needs, and holds no more connections than
it is given.
"""

import contextlib
import errno
import resource
from typing import Final

RESERVED_FILES: Final = 64
"""For the log, the model, the event loop, and connections that are being refused."""


def room_for_connections(num_wanted: int) -> int:
    """Raise this process's limit of open files as far as needed and allowed.

    Args:
        num_wanted: connections.

    Returns:
        How many connections there is room for; at least 1, at most as many as are wanted.
    """
    num_files = num_wanted + RESERVED_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_below(soft, num_files):
        raised = num_files if not _is_below(hard, num_files) else hard
        with contextlib.suppress(OSError, ValueError):  # a system may have limits of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return max(1, soft - RESERVED_FILES) if _is_below(soft, num_files) else num_wanted


def check_open_files() -> None:
    """Return if this process may open as many files as a server needs before its first client.

    Raises:
        OSError: EMFILE; fewer would fail in places that nobody could make sense of.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_below(hard, RESERVED_FILES):
        fault = f"this process may open {hard} files; a server needs at least {RESERVED_FILES}"
        raise OSError(errno.EMFILE, fault)


def _is_below(limit: int, number: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < number
