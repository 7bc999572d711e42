"""Where each tensor of a GGUF file must lie, and of what layout it therefore is.

The header tells a tensor's type, shape and beginning, not its size. The size follows from the
first two, and the space up to the next tensor must be just that, filled up to the alignment. What
does not fit is refused: that also tells apart types of one id which different projects write.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.gguf.cursor import shown
from tercet_engine.gguf.tensors import GgufTensor, TensorEntry
from tercet_engine.gguf.types import LAYOUTS, Layout, reason, supported_types, type_name


@dataclass(frozen=True, slots=True)
class DataRegion:
    """The part of a file that holds tensors.

    Attributes:
        start: in the file.
        num_bytes: up to the file's end.
        alignment: of every tensor's beginning.
        path: for messages.
    """

    start: int
    num_bytes: int
    alignment: int
    path: Path

    def place(self, entries: Sequence[TensorEntry]) -> Iterator[GgufTensor]:
        """Find where each tensor lies, in the order of the file.

        Raises:
            CheckpointError: tensors overlap, leave gaps, or reach beyond the file.
            UnsupportedModel: one is of a type that is not read.
        """
        ordered = sorted(entries, key=lambda entry: entry.offset)
        if not ordered:
            return
        if ordered[0].offset:
            self._refuse(f"is damaged: {shown(ordered[0].name)} follows a gap")
        for entry, follower in zip(ordered, [*ordered[1:], None], strict=True):
            if entry.offset % self.alignment:
                self._refuse(
                    f"is damaged: {shown(entry.name)} begins at byte {entry.offset} of the data, "
                    f"which is no multiple of {self.alignment}"
                )
            end = self.num_bytes if follower is None else min(self.num_bytes, follower.offset)
            if entry.offset >= end:
                self._refuse_place(entry, follower)
            layout, size = self._fit(entry, end - entry.offset, ends_file=end == self.num_bytes)
            yield GgufTensor(
                entry.name,
                entry.type_id,
                layout.name,
                entry.shape,
                self.start + entry.offset,
                size,
            )

    def _fit(self, entry: TensorEntry, space: int, *, ends_file: bool) -> tuple[Layout, int]:
        """Find the one layout of the entry's type that fills its space, and the bytes it takes."""
        sizes = self._sizes(entry)
        fitting = {
            layout: size for layout, size in sizes.items() if 0 <= space - size < self.alignment
        }
        if not fitting:  # without its whole tail only the last can be: others end aligned
            fitting = {
                layout: space
                for layout, size in sizes.items()
                if layout.tail_bytes and space == size - layout.tail_bytes + layout.least_tail_bytes
            }
        if len(fitting) == 1:
            return fitting.popitem()
        takes = " or ".join(f"{size} bytes as {layout.name}" for layout, size in sizes.items())
        described = f"{_describe(entry)}, which is {takes}"
        if fitting:
            self._refuse(f"is ambiguous: {described}; its space of {space} does not tell which")
        if ends_file and space < min(sizes.values()):
            self._refuse(f"is truncated: {described}; {space} are left. Download it again")
        return self._refuse(f"is damaged: {described}; it has a space of {space}")

    def _sizes(self, entry: TensorEntry) -> dict[Layout, int]:
        """Bytes of a tensor in each layout that its type may have and its shape allows."""
        layouts = LAYOUTS.get(entry.type_id)
        if layouts is None:
            message = (
                f"{self.path}: {_describe(entry)}, which is not supported{reason(entry.type_id)}; "
                f"supported are "
                f"{supported_types()}"
            )
            raise UnsupportedModel(message)
        num_weights = math.prod(entry.shape)
        sizes = {
            layout: num_weights // layout.block_weights * layout.block_bytes + layout.tail_bytes
            for layout in layouts
            if (num_weights if layout.crosses_rows else entry.shape[-1]) % layout.block_weights == 0
        }
        if not sizes:
            blocks = " or ".join(str(layout.block_weights) for layout in layouts)
            self._refuse(
                f"is damaged: {_describe(entry)}, which cannot be cut into blocks of {blocks}"
            )
        return sizes

    def _refuse_place(self, entry: TensorEntry, follower: TensorEntry | None) -> NoReturn:
        if follower is not None and follower.offset == entry.offset:
            self._refuse(
                f"is damaged: {shown(entry.name)} and {shown(follower.name)} begin at the same byte"
            )
        self._refuse(
            f"is truncated: {shown(entry.name)} begins at byte {entry.offset} of the data, "
            f"of which there are {self.num_bytes}; download it again"
        )

    def _refuse(self, what: str) -> NoReturn:
        message = f"{self.path} {what}"
        raise CheckpointError(message)


def _describe(entry: TensorEntry) -> str:
    return f"{shown(entry.name)} is {type_name(entry.type_id)} {list(entry.shape)}"
