"""What Linux tells of a process: resident memory and its parts, threads, descriptors, CPU."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_ARENA: Final = 64 * 2**20
"""Further arenas of glibc's malloc lie at multiples of that, each in its own reservation."""
_COUNTED: Final[Mapping[str, tuple[str, ...]]] = {
    "Rss": (),
    "Pss": ("pss",),
    "Private_Clean": ("private",),
    "Private_Dirty": ("private",),
}
_HEADER: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)")


@dataclass(frozen=True, slots=True)
class Process:
    """The outside of a process."""

    rss: int
    threads: int
    descriptors: int
    sockets: int
    cpu: float

    @classmethod
    def of(cls, pid: int) -> "Process":
        """Look at it.

        Raises:
            OSError: there is none.
        """
        folder = Path(f"/proc/{pid}")
        stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
        fields = stat.rpartition(") ")[2].split()  # from the third on
        pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        opened = list(_targets(folder / "fd"))
        return cls(
            rss=pages * _PAGE,
            threads=int(fields[17]),
            descriptors=len(opened),
            sockets=sum(target.startswith("socket:") for target in opened),
            cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        )


def memory_parts(pid: int) -> dict[str, int]:
    """Resident bytes by who asked for them, beside `pss` and what is `private`."""
    totals: dict[str, int] = {}
    num_arenas = 0
    kind = "other"
    text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace")
    for line in text.splitlines():
        if header := _HEADER.fullmatch(line):
            start, end, path = int(header[1], 16), int(header[2], 16), header[4]
            kind = _kind(start, end, path)
            num_arenas += kind == "arenas"
            continue
        key, _, value = line.partition(":")
        if key in _COUNTED:
            for name in _COUNTED[key] or (kind,):
                totals[name] = totals.get(name, 0) + int(value.split()[0]) * 1024
    return {**totals, "num_arenas": num_arenas}


def _kind(start: int, end: int, path: str) -> str:
    if path == "[heap]":
        return "heap"
    if path and not path.startswith("["):
        return "files"
    if not path and start % _ARENA == 0 and end - start <= _ARENA:
        return "arenas"
    return "other"


def _targets(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        try:
            yield str(path.readlink())
        except FileNotFoundError:  # closed since it was listed
            continue
