"""What the kernel says of this process and its CPU."""

import platform
import resource
import sys
from pathlib import Path

from tercet_engine import macos


def peak_memory_bytes() -> int:
    """The most memory that this process has held at once."""
    for line in _lines(Path("/proc/self/status")):
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cpu_name() -> str:
    """The CPU's name as it tells it, or its architecture where it does not."""
    for line in _lines(Path("/proc/cpuinfo")):
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu model"} and value.strip():
            return value.strip()
    told = macos.cpu_name() if sys.platform == "darwin" else ""
    return told or platform.processor() or platform.machine()


def cache_bytes() -> int:
    """Size of the largest cache that the first CPU can use; 0 where the kernel does not tell."""
    if sys.platform == "darwin":
        return macos.cache_bytes()
    caches = Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")
    sizes = [line for path in caches for line in _lines(path)]
    return max((int(text[:-1]) * 1024 for text in sizes if text.endswith("K")), default=0)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
