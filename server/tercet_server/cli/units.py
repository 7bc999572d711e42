"""Sizes and speeds as people write them, in powers of ten."""

from typing import Final

_UNITS: Final = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))


def size(num_bytes: float) -> str:
    """Three digits and a unit, "849 MB"."""
    for factor, unit in _UNITS:
        if num_bytes >= factor * 0.9995:
            value = num_bytes / factor
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return f"{num_bytes:.0f} B"


def speed(bytes_per_second: float) -> str:
    """The same, per second."""
    return f"{size(bytes_per_second)}/s"
