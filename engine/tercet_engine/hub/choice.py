"""Which files of a repository are the model: Hugging Face's layout, or one GGUF file of several."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from tercet_engine.errors import ModelNotFound, UnsupportedModel
from tercet_engine.hub.names import HubName

SMALL_FILES: Final = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)
"""All that is fetched beside the weights: no code, no other formats."""
WEIGHTS: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
_SHARD_OF_GGUF: Final = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_TERNARY: Final = re.compile(
    r"(?:^|[-._/])(?:i2_s|tq1_0|tq2_0|q2_0|q2_0_g64|q2_0_g128|pq2_0|ptq1_0)\.gguf$"
)
_MAX_NAMED: Final = 12
"""Files that a message names at most."""


class Form(StrEnum):
    """In what form weights are wanted."""

    AUTO = "auto"
    SAFETENSORS = "safetensors"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of a repository.

    Attributes:
        form: of the weights; AUTO: safetensors where there are any, else GGUF.
        file: a pattern for the GGUF file, "*Q2_0*"; "": any.
    """

    form: Form = Form.AUTO
    file: str = ""


ANYTHING: Final = Wanted()


def choose_form(name: HubName, wanted: Wanted, paths: Sequence[str]) -> Form:
    """Say which form to take of a repository that holds these files.

    Raises:
        ModelNotFound: it has nothing of the form that is wanted.
        UnsupportedModel: it has nothing that can be read.
    """
    has_safetensors = "config.json" in paths and (WEIGHTS in paths or INDEX in paths)
    has_gguf = any(path.endswith(".gguf") for path in paths)
    asks_for_gguf = bool(name.file or name.tag or wanted.file) or wanted.form is Form.GGUF
    if asks_for_gguf and wanted.form is Form.SAFETENSORS:
        message = f"{name}: safetensors were asked for, and one GGUF file too; choose one of both"
        raise ModelNotFound(message)
    if asks_for_gguf:
        if not has_gguf:
            message = f"{name.repo} holds no GGUF file; it holds {_listed(paths)}"
            raise ModelNotFound(message)
        return Form.GGUF
    if has_safetensors:
        return Form.SAFETENSORS
    if has_gguf and wanted.form is Form.AUTO:
        return Form.GGUF
    message = (
        f"{name.repo} holds no model that can be read: config.json with {WEIGHTS} (or its shards "
        f"and {INDEX}), or a GGUF file, is needed; it holds {_listed(paths)}"
    )
    if wanted.form is Form.SAFETENSORS and has_gguf:
        raise ModelNotFound(message)
    raise UnsupportedModel(message)


def choose_gguf(name: HubName, wanted: Wanted, paths: Iterable[str]) -> str:
    """Choose the GGUF file that is meant.

    Raises:
        ModelNotFound: there is none such, or it cannot be told which.
        UnsupportedModel: it is one of several that make a model together.
    """
    every = sorted(path for path in paths if path.endswith(".gguf"))
    found = every
    if name.file:
        found = [path for path in found if path == name.file]
    if wanted.file:
        found = [path for path in found if _matches(path, wanted.file)]
    if name.tag:
        tag = re.escape(name.tag.lower())
        exact = [p for p in found if re.search(rf"(?:^|[-._/]){tag}\.gguf$", p.lower())]
        found = exact or [p for p in found if re.search(rf"(?:^|[-._/]){tag}[-._]", p.lower())]
    if len(found) > 1 and not (name.file or name.tag or wanted.file):
        found = [path for path in found if _TERNARY.search(path.lower())] or found
    if len(found) != 1:
        what = "several GGUF files fit" if found else "no GGUF file fits"
        message = (
            f"{name}: {what}; choose one of {_listed(found or every)}, as {name.repo}/FILE or with "
            "--file"
        )
        raise ModelNotFound(message)
    if _SHARD_OF_GGUF.search(found[0]):
        message = (
            f"{name.repo}: {found[0]} is one of several files of a model; merged ones are read "
            "(llama-gguf-split --merge)"
        )
        raise UnsupportedModel(message)
    return found[0]


def _matches(path: str, pattern: str) -> bool:
    path, pattern = path.lower(), pattern.lower()
    return fnmatchcase(path, pattern) or fnmatchcase(path.rsplit("/", 1)[-1], pattern)


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _MAX_NAMED} more" if len(paths) > _MAX_NAMED else ""
    return (", ".join(paths[:_MAX_NAMED]) or "nothing") + more
