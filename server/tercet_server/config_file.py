"""Reads settings from a TOML file: every flag by its name, "max-body-bytes" or "max_body_bytes".

What is not known is refused, with the nearest name that is: a setting misspelt would else be
silently without effect.
"""

import difflib
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

_MAX_BYTES: Final = 1 << 20


class InvalidConfigFile(ValueError):
    """The file cannot be read, or says what no setting is."""


def read_config_file(path: Path, known: Collection[str]) -> dict[str, Any]:
    """The values of a file by the names of their fields.

    Args:
        path: of the file.
        known: names of fields that it may set.

    Raises:
        InvalidConfigFile: in words, one line for each key that is wrong.
    """
    values = read_toml(path)
    found: dict[str, Any] = {}
    problems = []
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            problems.append(f"{path}: {_unknown(key, known)}")
        elif name in found:
            problems.append(f"{path}: {key} is given twice, once with - and once with _")
        elif isinstance(value, dict):
            problems.append(f"{path}: {key} must be a value, not a table")
        found[name] = value
    if problems:
        raise InvalidConfigFile("\n".join(problems))
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a file of ours.

    Raises:
        InvalidConfigFile: it cannot be read, is too large, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            message = f"{path} has more than {_MAX_BYTES} bytes, which is all that is read"
            raise InvalidConfigFile(message)
        return tomllib.loads(content.decode("utf-8"))
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise InvalidConfigFile(message) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path} is not valid TOML: {error}"
        raise InvalidConfigFile(message) from error


def _unknown(key: str, known: Collection[str]) -> str:
    name = key.replace("-", "_")
    near = difflib.get_close_matches(name, known, n=1)
    advice = f" (did you mean {near[0].replace('_', '-')}?)" if near else ""
    return f"there is no setting {key!a}{advice}; `tercet serve --help` lists them"
