"""What stands before the data of a GGUF file: its version, its keys, its tensors' entries."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tercet_engine.errors import UnsupportedModel
from tercet_engine.gguf.cursor import Content, Cursor, shown
from tercet_engine.gguf.tensors import TensorEntry, read_count, read_entries
from tercet_engine.gguf.values import Value, ValueReader

MAGIC: Final = b"GGUF"
MAX_KEYS: Final = 65_536
MAX_KEY_BYTES: Final = 65_535
MAX_ALIGNMENT: Final = 65_536
_DEFAULT_ALIGNMENT: Final = 32
_LEAST_PAIR_BYTES: Final = 8 + 1 + 4 + 1
_VERSIONS: Final = (2, 3)


@dataclass(frozen=True, slots=True)
class Header:
    """The header of one file.

    Attributes:
        metadata: values by their keys.
        entries: of the tensors.
        alignment: of tensors.
        data_start: where the data begins if there is any.
    """

    metadata: dict[str, Value]
    entries: list[TensorEntry]
    alignment: int
    data_start: int


def read_header(content: Content, num_bytes: int, path: Path) -> Header:
    """Read a header.

    Raises:
        CheckpointError: it is damaged.
        UnsupportedModel: it is of a version that is not read.
    """
    cursor = Cursor(content, num_bytes, path)
    cursor.skip(len(MAGIC), "the first word")
    magic = content[: len(MAGIC)]
    if magic != MAGIC:
        cursor.refuse(f"is not a GGUF file: it begins with {magic!r}")
    _check_version(cursor.uint32("the version"), path)
    num_tensors = read_count(cursor)
    num_keys = cursor.count(MAX_KEYS, _LEAST_PAIR_BYTES, "keys")
    reader = ValueReader(cursor, path)
    metadata: dict[str, Value] = {}
    for _ in range(num_keys):
        key = cursor.text(MAX_KEY_BYTES, "a key")
        if not key:
            cursor.refuse("is damaged: a key has no name")
        if key in metadata:
            cursor.refuse(f"is damaged: it gives {shown(key)} twice")
        metadata[key] = reader.read(shown(key))
    entries = read_entries(cursor, num_tensors)
    alignment = metadata.get("general.alignment", _DEFAULT_ALIGNMENT)
    is_power = type(alignment) is int and 8 <= alignment <= MAX_ALIGNMENT
    if not is_power or alignment & (alignment - 1):
        cursor.refuse(
            f"has general.alignment {alignment!s:.80}; powers of two, 8 to 65536, are read"
        )
    return Header(metadata, entries, alignment, -(-cursor.position // alignment) * alignment)


def _check_version(version: int, path: Path) -> None:
    if version in _VERSIONS:
        return
    if version & 0xFFFF == 0 and version:
        what = "is big-endian; only little-endian GGUF files are read"
    else:
        what = f"is GGUF of version {version}; versions {_VERSIONS[0]} and {_VERSIONS[1]} are read"
    message = f"{path} {what}. Convert the model anew"
    raise UnsupportedModel(message)
