"""The recipes in docs/clients, as programs.

A page's blocks in `python` and `js` are programs; those in `sh` are commands where they begin with
curl, and otherwise steps that somebody takes once. A page's blocks are run as they stand, but for
the server's address.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ROOT / "docs" / "clients"
ADDRESS: Final = "http://localhost:8000"
_BLOCK: Final = re.compile(r"^```(python|js|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Recipe:
    """One block of a page; `number` counts the page's programs from 1."""

    page: str
    number: int
    language: str
    text: str

    def program(self, url: str) -> str:
        """The block for a server at another address."""
        return self.text.replace(ADDRESS, url)


def recipes() -> list[Recipe]:
    """Every program of every page."""
    return [recipe for path in sorted(PAGES.glob("*.md")) for recipe in _recipes_of(path)]


def _recipes_of(path: Path) -> list[Recipe]:
    blocks = [
        (language, text)
        for language, text in _BLOCK.findall(path.read_text(encoding="utf-8"))
        if language != "sh" or text.startswith("curl ")
    ]
    return [Recipe(path.stem, number, *block) for number, block in enumerate(blocks, start=1)]
