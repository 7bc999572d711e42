"""Reading of a checkpoint's JSON files, value by value, each with its range.

What is missing, of the wrong type or out of range is named together with the file it came from.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tercet_engine.errors import CheckpointError

MAX_JSON_BYTES: Final = 64_000_000
_REQUIRED: Final = object()


class ConfigFile:
    """One JSON object with checked access to its values."""

    def __init__(self, values: Mapping[str, Any], name: str) -> None:
        self.values = values
        self.name = name

    @classmethod
    def read(cls, path: Path, *, optional: bool = False) -> "ConfigFile":
        """Read a file. With `optional`, one that is not there counts as empty.

        Raises:
            CheckpointError: it is missing, too large, or not a JSON object.
        """
        if optional and not path.exists():
            return cls({}, str(path))
        try:
            if path.stat().st_size > MAX_JSON_BYTES:
                message = f"{path} is larger than {MAX_JSON_BYTES} bytes"
                raise CheckpointError(message)
            values = json.loads(path.read_bytes())
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}"
            raise CheckpointError(message) from error
        except (ValueError, RecursionError) as error:
            message = f"{path} is not valid JSON: {error}"
            raise CheckpointError(message) from error
        if not isinstance(values, dict):
            message = f"{path} must hold a JSON object; found {type(values).__name__}"
            raise CheckpointError(message)
        return cls(values, str(path))

    def section(self, key: str) -> "ConfigFile":
        """The object under `key`; an empty one if there is none."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, dict):
            raise self.error(key, "an object")
        return ConfigFile(value or {}, f"{self.name}: {key}")

    def integer(self, key: str, low: int, high: int, default: Any = _REQUIRED) -> int:
        """An integer from `low` to `high`."""
        value = self._value(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.error(key, f"an integer from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float, default: Any = _REQUIRED) -> float:
        """A number from `low` to `high`."""
        value = self._value(key, default)
        if type(value) not in {int, float} or not low <= value <= high:
            raise self.error(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        value = self._value(key, default)
        if type(value) is not bool:
            raise self.error(key, "true or false")
        return value

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        """A string."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.error(key, "a string")
        return value

    def error(self, key: str, expected: str) -> CheckpointError:
        """Make the error that says what `key` should be and what it is."""
        found = json.dumps(self.values[key])[:80] if key in self.values else "nothing"
        return CheckpointError(f"{self.name}: {key} must be {expected}; found {found}")

    def _value(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is None:
            if default is _REQUIRED:
                message = f"{self.name}: {key} is missing"
                raise CheckpointError(message)
            return default
        return value
