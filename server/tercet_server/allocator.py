"""How many arenas the C library's allocator divides memory into.

glibc gives threads arenas of their own, up to eight for each CPU, and what one frees another does
not use. A server's threads allocate little and mostly in turns, so two arenas do for all of them:
a soaked server held 233 MB after half an hour, not 248 (at less load: not all of that is theirs).
"""

import ctypes
import os
import sys
from typing import Final

_M_ARENA_MAX: Final = -8  # malloc.h
_NUM_ARENAS: Final = 2


def keep_few_arenas() -> None:
    """Have two arenas, unless `MALLOC_ARENA_MAX` says how many. Only glibc has any."""
    if sys.platform != "linux" or "MALLOC_ARENA_MAX" in os.environ:
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        mallopt(_M_ARENA_MAX, _NUM_ARENAS)
