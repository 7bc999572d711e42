"""The tensors that a GGUF file announces.

What an entry of the header says is bounded here; whether it is true, `placement.py` finds out.
"""

import math
from dataclasses import dataclass
from typing import Final

from tercet_engine.gguf.cursor import Cursor, shown

MAX_TENSORS: Final = 65_536
MAX_NAME_BYTES: Final = 1024
MAX_DIMENSIONS: Final = 4
MAX_WEIGHTS: Final = 1 << 62
_LEAST_ENTRY_BYTES: Final = 8 + 1 + 4 + 8 + 4 + 8


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """What the header says of a tensor; `offset` counts from the first byte of the data."""

    name: str
    type_id: int
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """A tensor and its place.

    Attributes:
        name: as in the file.
        type_id: as in the file.
        layout: how its bytes are to be read, e.g. "i2_s" or "q2_0_g64"; see `LAYOUTS`.
        shape: in NumPy's order: (rows, cols) of a matrix, (size,) of a vector.
        offset: of its first byte in the file.
        num_bytes: without what fills the space up to the next tensor.
    """

    name: str
    type_id: int
    layout: str
    shape: tuple[int, ...]
    offset: int
    num_bytes: int


def read_entry(cursor: Cursor) -> TensorEntry:
    """Read one tensor's entry of the header."""
    name = cursor.text(MAX_NAME_BYTES, "a tensor's name")
    if not name:
        cursor.refuse("is damaged: a tensor has no name")
    label = shown(name)
    num_dimensions = cursor.uint32(f"the shape of {label}")
    if not 1 <= num_dimensions <= MAX_DIMENSIONS:
        cursor.refuse(f"gives {label} {num_dimensions} dimensions; 1 to {MAX_DIMENSIONS} are read")
    sizes = [cursor.uint64(f"the shape of {label}") for _ in range(num_dimensions)]
    if 0 in sizes or math.prod(sizes) >= MAX_WEIGHTS:
        cursor.refuse(f"is damaged: {label} has the shape {sizes}")
    type_id = cursor.uint32(f"the type of {label}")
    return TensorEntry(
        name, type_id, tuple(reversed(sizes)), cursor.uint64(f"the place of {label}")
    )


def read_entries(cursor: Cursor, count: int) -> list[TensorEntry]:
    """Read `count` entries; a name that appears twice is refused."""
    entries: dict[str, TensorEntry] = {}
    for _ in range(count):
        entry = read_entry(cursor)
        if entry.name in entries:
            cursor.refuse(f"is damaged: it describes {shown(entry.name)} twice")
        entries[entry.name] = entry
    return list(entries.values())


def read_count(cursor: Cursor) -> int:
    """Read the number of tensors."""
    return cursor.count(MAX_TENSORS, _LEAST_ENTRY_BYTES, "tensors")
