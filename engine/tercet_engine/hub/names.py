"""How people write a model of the Hub: what other tools understand is understood here.

org/name                  the repository's default branch
org/name@revision         a branch, a tag or a commit
org/name:Q2_0             the GGUF file of that quantisation, as for llama.cpp and Ollama
org/name/folder/x.gguf    one GGUF file
hf.co/org/name...         the same, also as copied from a browser
"""

import re
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

_PREFIX: Final = re.compile(r"(?:https?://)?(?:www\.)?(?:hf\.co|huggingface\.co)/")
_NAME: Final = re.compile(
    r"(?P<repo>\w[\w.-]*/\w[\w.-]*)"
    r"(?:/(?:resolve|blob|tree)/(?P<browsed>[\w.-]+))?"
    r"(?:/(?P<file>[\w ./+-]+\.gguf))?"
    r"(?::(?P<tag>[\w.-]+))?"
    r"(?:@(?P<revision>\w[\w./-]*))?"
    r"(?::(?P<late_tag>[\w.-]+))?"
)
_MAX_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class HubName:
    """A model on the Hub.

    Attributes:
        repo: "org/name".
        revision: a branch, a tag or a commit; None: the default branch.
        file: path of a GGUF file in the repository; None: to be chosen.
        tag: name of a quantisation, of which there should be one GGUF file; None: any.
    """

    repo: str
    revision: str | None = None
    file: str | None = None
    tag: str | None = None

    @override
    def __str__(self) -> str:
        file = f"/{self.file}" if self.file else ""
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.repo}{file}{tag}" + (f"@{self.revision}" if self.revision else "")


def parse_hub_name(text: str) -> HubName | None:
    """Read a name; None where it cannot be one."""
    prefix = _PREFIX.match(text)
    rest = (text[prefix.end() :] if prefix else text).removesuffix("/")
    match = _NAME.fullmatch(rest) if len(rest) <= _MAX_CHARS else None
    if not match or (match["browsed"] and not prefix):
        return None
    revision = match["revision"] or match["browsed"]
    for path in (revision, match["file"]):
        if path and not is_plain_path(path):
            return None
    tag = match["tag"] or match["late_tag"]
    return HubName(match["repo"], revision, match["file"], None if tag == "latest" else tag)


def is_plain_path(path: str) -> bool:
    """Whether a path leads downwards and nowhere else."""
    return "\\" not in path and all(part not in {"", ".", ".."} for part in path.split("/"))
