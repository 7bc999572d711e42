"""Checked access to a GGUF file's keys, in the manner of a config file."""

from typing import Any

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf.cursor import shown
from tercet_engine.gguf.strings import StringArray
from tercet_engine.model_config_file import ConfigFile


class Metadata(ConfigFile):
    """The keys of one file; `name` is the file's."""

    @property
    def architecture(self) -> str:
        """What the file says it holds; keys of its own begin with it."""
        return self.text("general.architecture")

    def strings(self, key: str) -> StringArray | None:
        """An array of strings; nothing if the key is not there."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, StringArray):
            raise self.error(key, "an array of strings")
        return value

    def numbers(self, key: str, count: int) -> npt.NDArray[Any] | None:
        """An array of `count` numbers; nothing if the key is not there."""
        value = self.values.get(key)
        if value is None:
            return None
        is_array = isinstance(value, np.ndarray) and value.dtype != np.bool_
        if not is_array or len(value) != count:
            raise self.error(key, f"an array of {count} numbers")
        return np.asarray(value)

    @override
    def error(self, key: str, expected: str) -> CheckpointError:
        found = _describe(self.values[key]) if key in self.values else "nothing"
        return CheckpointError(f"{self.name}: {shown(key)} must be {expected}; found {found}")


def _describe(value: object) -> str:
    match value:
        case np.ndarray():
            return f"an array of {len(value)} {value.dtype}"
        case StringArray():
            return f"an array of {len(value)} strings"
        case list():
            return f"an array of {len(value)} arrays"
        case bool():
            return str(value).lower()
        case str():
            return f'"{shown(value)}"'
        case _:
            return str(value)
