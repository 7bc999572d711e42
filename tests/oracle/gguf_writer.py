"""Writes GGUF files for tests: every kind of value, tensors as the bytes they are given.

Written from the format's description, on its own: it shares nothing with the reader.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Kind(IntEnum):
    U8 = 0
    I8 = 1
    U16 = 2
    I16 = 3
    U32 = 4
    I32 = 5
    F32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    U64 = 10
    I64 = 11
    F64 = 12


FORMS = {
    Kind.U8: "B",
    Kind.I8: "b",
    Kind.U16: "H",
    Kind.I16: "h",
    Kind.U32: "I",
    Kind.I32: "i",
    Kind.F32: "f",
    Kind.BOOL: "?",
    Kind.U64: "Q",
    Kind.I64: "q",
    Kind.F64: "d",
}


@dataclass(frozen=True)
class Typed:
    """A value of a kind that its Python type does not tell; of an array, the kind of its items."""

    kind: Kind
    value: Any


@dataclass(frozen=True)
class Tensor:
    """A tensor: its type's id, its shape in NumPy's order, its bytes.

    `offset` is for lies; without it a tensor follows the one before.
    """

    type_id: int
    shape: Sequence[int]
    content: bytes
    offset: int | None = None


@dataclass
class GgufWriter:
    """One file."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    version: int = 3
    alignment: int = 32
    pads_last: bool = True

    def header(self) -> bytes:
        parts = [b"GGUF", struct.pack("<IQQ", self.version, len(self.tensors), len(self.metadata))]
        for key, value in self.metadata.items():
            parts += [string(key), typed(value)]
        offset = 0
        for name, tensor in self.tensors.items():
            place = offset if tensor.offset is None else tensor.offset
            parts += [string(name), struct.pack("<I", len(tensor.shape))]
            parts += [struct.pack("<Q", size) for size in reversed(tensor.shape)]
            parts.append(struct.pack("<IQ", tensor.type_id, place))
            offset += len(self._padded(tensor.content))
        return b"".join(parts)

    def to_bytes(self) -> bytes:
        data = b"".join(self._padded(tensor.content) for tensor in self.tensors.values())
        if not self.pads_last and self.tensors:
            last = list(self.tensors.values())[-1].content
            data = data[: len(data) - len(self._padded(last)) + len(last)]
        return self._padded(self.header()) + data

    def _padded(self, content: bytes) -> bytes:
        return content + bytes(-len(content) % self.alignment)


def string(text: str | bytes) -> bytes:
    content = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(content)) + content


def typed(value: Any) -> bytes:
    """A value after its kind."""
    kind, content = (value.kind, value.value) if isinstance(value, Typed) else (None, value)
    if isinstance(content, list):
        items = _kind_of(content[0], Kind.I32) if content else Kind.I32
        return struct.pack("<I", Kind.ARRAY) + array(items if kind is None else kind, content)
    kind = _kind_of(content, Kind.U32) if kind is None else kind
    return struct.pack("<I", kind) + scalar(kind, content)


def _kind_of(value: Any, integer: Kind) -> Kind:
    kinds = {bool: Kind.BOOL, int: integer, float: Kind.F32, list: Kind.ARRAY}
    return kinds.get(type(value), Kind.STRING)


def array(kind: Kind, items: list[Any]) -> bytes:
    """An array without the kind before it: the kind of its items, their number, the items."""
    head = struct.pack("<IQ", kind, len(items))
    if kind is Kind.ARRAY:
        return head + b"".join(typed(item)[4:] for item in items)
    return head + b"".join(scalar(kind, item) for item in items)


def scalar(kind: Kind, value: Any) -> bytes:
    return string(value) if kind is Kind.STRING else struct.pack(f"<{FORMS[kind]}", value)
