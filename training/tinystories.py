"""Stories of the TinyStories data set (CDLA-Sharing-1.0), from clones of public repositories.

Only a few thousand stories are used, as plain text beside the generated ones: they show words in
more natural surroundings. Training works without them (`corpus.py` then builds generated text).
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOURCES = {
    "mines-opt-ml/decoding-gpt": "data/tinystories_10k.txt",
    "yuninxia/moe-routing-bench": "data/tinystories_val.txt",
    "s-ajaykumar/smallGPT": "data/tiny_stories.txt",
}
FEWEST_WORDS, MOST_WORDS = 40, 240
PLAIN = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
FIRST_WORDS = r"(?:Once upon a time|Once there|One day, (?:a|an|there)|There (?:was|once)|Long ago)"


def read(clone: Path, path: str) -> str:
    """One file of the newest commit of a clone, whether it is bare or not."""
    command = ["git", "-C", str(clone), "show", f"HEAD:{path}"]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - all of it is ours
    return done.stdout.decode("utf-8", "replace")


def clean(text: str) -> str:
    """Plain ASCII, single spaces, at most one empty line."""
    text = text.translate(PLAIN).replace("\r", "")
    text = re.sub(r"[ \t]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return re.sub(r"\n{2,}", "\n\n", text).strip()


def split_stories(text: str) -> list[str]:
    """Stories by their end marks, or where a line begins as stories do."""
    if "<|endoftext|>" in text:
        return text.split("<|endoftext|>")
    return re.split(rf"\n+(?={FIRST_WORDS})", text)


def usable(story: str) -> bool:
    """Complete, short enough to be learned whole, and ASCII."""
    return (
        FEWEST_WORDS <= len(story.split()) <= MOST_WORDS
        and story.isascii()
        and story[-1] in ".!?\"'"
    )


def load(clones: Path) -> list[str]:
    """All usable stories, once each; OWNER/NAME lies in OWNER+NAME or OWNER+NAME/repo."""
    stories: dict[str, str] = {}
    for repository, path in SOURCES.items():
        folder = clones / repository.replace("/", "+")
        folder = folder / "repo" if (folder / "repo").exists() else folder
        for story in map(clean, split_stories(read(folder, path))):
            if story and usable(story):
                stories.setdefault(re.sub(r"\W+", "", story.lower())[:120], story)
    return list(stories.values())
