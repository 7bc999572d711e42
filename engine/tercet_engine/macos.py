"""What macOS says of itself, where Linux has files: asked of `sysctl` and `vm_stat`.

Both belong to the system, at fixed paths. An answer that cannot be had is empty, as a file is that
is not there: whoever asks knows what to do without.
"""

import re
import subprocess
from typing import Final

_SECONDS: Final = 5.0
_SYSCTL: Final = "/usr/sbin/sysctl"
_VM_STAT: Final = "/usr/bin/vm_stat"
_GIVEN_UP: Final = ("free", "inactive", "speculative")
"""Pages that hold nothing, or what the kernel lets go before it swaps."""
_CACHES: Final = ("hw.l3cachesize", "hw.perflevel0.l2cachesize", "hw.l2cachesize")


def free_memory_bytes() -> int | None:
    """Bytes that can be had without swapping; None: it does not say."""
    text = _answer(_VM_STAT)
    page = re.search(r"page size of (\d+) bytes", text)
    pages = {name: int(number) for name, number in re.findall(r"Pages (\w+): +(\d+)\.", text)}
    if page is None or "free" not in pages:
        return None
    return int(page[1]) * sum(pages.get(name, 0) for name in _GIVEN_UP)


def cpu_name() -> str:
    """Such as "Apple M2"; empty where it does not say."""
    return _sysctl("machdep.cpu.brand_string")


def cache_bytes() -> int:
    """Size of the largest cache, of the fast cores where there are others; 0: it does not say."""
    answers = map(_sysctl, _CACHES)
    return max((int(answer) for answer in answers if answer.isdecimal()), default=0)


def _sysctl(name: str) -> str:
    return _answer(_SYSCTL, "-n", name).strip()


def _answer(*command: str) -> str:
    try:
        found = subprocess.run(  # noqa: S603 -- the system's own programs, our own words
            command, capture_output=True, check=True, timeout=_SECONDS, encoding="utf-8"
        )
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return found.stdout
