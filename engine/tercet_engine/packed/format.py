"""What `config.json` of a converted model says.

Its `architectures` is one name, by which the folder is known, and its `tercet` section holds

    format      version of everything here, and of the tiles (cpp/src/kernels/generic/pack.h)
    shape       a `ModelShape`, with the grid that the weights were found to be on
    layouts     of the tables, which lie as in the source (`tensor_source.py`)
    facts       checksums and scales of the source's tensors, of which the fingerprint is made
    checksums   CRC-32 of every tensor of `model.safetensors`
    made_from   the source's name
    made_by     the version that converted it
"""

import dataclasses
import math
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_shape import LINEARS, MAX_SIZES, ModelShape
from tercet_engine.rope import Rope

ARCHITECTURE: Final = "TercetPackedModel"
FORMAT: Final = 1
SECTION: Final = "tercet"
WEIGHTS: Final = "model.safetensors"
_MAX_SIZE: Final = (1 << 31) - 1
_MAX_NUMBER: Final = 1e300


def is_packed(folder: Path) -> bool:
    """Whether a folder holds a converted model, of whatever version."""
    path = folder / "config.json"
    return path.is_file() and says_packed(ConfigFile.read(path))


def says_packed(config: ConfigFile) -> bool:
    """Whether a `config.json` is that of a converted model."""
    return config.values.get("architectures") == [ARCHITECTURE]


def section_of(config: ConfigFile) -> ConfigFile:
    """Read the section that holds everything else.

    Raises:
        UnsupportedModel: it is of another version.
        CheckpointError: it is damaged.
    """
    section = config.section(SECTION)
    version = section.integer("format", 0, _MAX_SIZE)
    if version != FORMAT:
        message = (
            f"{config.name}: this model was converted to format {version}; this version of Tercet "
            f"reads format {FORMAT}. Convert {section.text('made_from', 'the source')} again"
        )
        raise UnsupportedModel(message)
    return section


def shape_of(section: ConfigFile) -> ModelShape:
    """Read a model's sizes and choices.

    Raises:
        CheckpointError: one is missing, unknown, or no such value.
    """
    values = section.section("shape")
    for name, most in MAX_SIZES.items():
        values.integer(name, 1, most)
    rope = _read(Rope, values.section("rope"))
    shape: ModelShape = _read(ModelShape, values, rope=rope)
    if not set(shape.biases) <= set(LINEARS):
        raise values.error("biases", f"some of {', '.join(LINEARS)}")
    try:
        with np.errstate(all="ignore"):
            numbers = [rope.scale, *rope.frequencies(shape.head_dim, shape.max_context)]
        is_finite = all(map(math.isfinite, numbers))
    except (ValueError, ArithmeticError):
        is_finite = False
    if not is_finite:
        raise values.error("rope", "angles that can be computed")
    return shape


def _read(kind: Any, file: ConfigFile, **known: Any) -> Any:
    """Make a dataclass of its values; one that it does not have is as usual."""
    hints = typing.get_type_hints(kind)
    names = {field.name for field in dataclasses.fields(kind)}
    for name in sorted(file.values.keys() - names):
        message = f"{file.name}: {name} is not known"
        raise CheckpointError(message)
    found = {
        name: _checked(hints[name], value, file, name)
        for name, value in file.values.items()
        if name not in known
    }
    return kind(**found, **known)


def _checked(kind: Any, value: Any, file: ConfigFile, name: str) -> Any:
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return None if value is None else _checked(arguments[0], value, file, name)
    if typing.get_origin(kind) is tuple:
        if isinstance(value, list):
            return tuple(_checked(arguments[0], one, file, name) for one in value)
        raise file.error(name, "a list")
    if issubclass(kind, StrEnum):
        if value in list(kind):
            return kind(value)
        raise file.error(name, f"one of {', '.join(kind)}")
    if kind is float and type(value) in {int, float} and abs(value) <= _MAX_NUMBER:
        return float(value)
    if kind is not float and type(value) is kind:
        return value
    raise file.error(name, {float: "a number", bool: "true or false"}.get(kind, kind.__name__))
