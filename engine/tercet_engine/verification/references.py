"""Published numbers, and which of them are those of a given model."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tercet_engine.errors import ModelNotFound
from tercet_engine.model_shape import ModelShape

_FILE: Final = Path(__file__).parents[1] / "reference_logits.json"


@dataclass(frozen=True, slots=True)
class Reference:
    """What a right implementation computes.

    Attributes:
        name: of the model.
        source: who computed the numbers, and how.
        weights_sha256: of files of weights that are known to be this model.
        tokenizer_sha256: of its `tokenizer.json`.
        sizes: fields of its `ModelShape`.
        ids: a prompt.
        means: the mean over the vocabulary of the logits after each token.
        mean_tolerance: how far a right mean may be from it.
        first_logits: of the first tokens of the vocabulary after the first token.
        logit_tolerance: how far a right logit may be.
        prompt: another prompt, as text; the tokenizer puts BOS before it.
        answer: what follows it when the likeliest token is always taken.
        tolerance_note: where the tolerances come from.
    """

    name: str
    source: str
    weights_sha256: tuple[str, ...]
    tokenizer_sha256: str
    sizes: Mapping[str, int]
    ids: tuple[int, ...]
    means: tuple[float, ...]
    mean_tolerance: float
    first_logits: tuple[float, ...]
    logit_tolerance: float
    prompt: str
    answer: str
    tolerance_note: str


def read_references() -> list[Reference]:
    """All that are known."""
    entries = json.loads(_FILE.read_text("utf-8"))["models"]
    lists = ("weights_sha256", "ids", "means", "first_logits")
    return [Reference(**(entry | {key: tuple(entry[key]) for key in lists})) for entry in entries]


def find_reference(path: Path, shape: ModelShape, name: str | None) -> Reference | None:
    """Find the numbers of a model by what it is, or by the name it is said to have.

    Files of weights tell for certain; else the tokenizer and all sizes must agree, as those of
    another form of the same weights do.

    Raises:
        ModelNotFound: there are no numbers under the name, or they are of other sizes.
    """
    known = read_references()
    if name is not None:
        named = [reference for reference in known if reference.name == name]
        if not named:
            names = ", ".join(reference.name for reference in known)
            message = f"no published numbers are known for {name}; known are {names}"
            raise ModelNotFound(message)
        if not _has_sizes(shape, named[0]):
            message = f"{path} cannot be {name}: its sizes are others"
            raise ModelNotFound(message)
        return named[0]
    candidates = [reference for reference in known if _has_sizes(shape, reference)]
    if not candidates:
        return None
    tokenizer = _sha256(path / "tokenizer.json")
    for reference in candidates:
        if reference.tokenizer_sha256 == tokenizer or is_known(path, reference):
            return reference
    return None


def is_known(path: Path, reference: Reference) -> bool:
    """Whether a folder's or file's weights are, byte for byte, some that the reference knows."""
    weights = path / "model.safetensors" if path.is_dir() else path
    return _sha256(weights) in reference.weights_sha256


def _has_sizes(shape: ModelShape, reference: Reference) -> bool:
    return all(getattr(shape, name) == size for name, size in reference.sizes.items())


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
