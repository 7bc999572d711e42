"""One GGUF file, opened: everything its header says is checked, and its tensors can be viewed.

Opening reads the header and nothing of the data. What a damaged or hostile file says is never
believed before it is held against the bytes that are there: no allocation follows a number in the
file that the file is too short for.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tercet_engine.errors import UnsupportedModel
from tercet_engine.gguf.cursor import Content
from tercet_engine.gguf.header import read_header
from tercet_engine.gguf.metadata import Metadata
from tercet_engine.gguf.placement import DataRegion
from tercet_engine.mapped_file import MappedFile

SUFFIX: Final = ".gguf"
MAGIC: Final = b"GGUF"
_LEAST_BYTES = 24
_SHARDS = "split.count"


def is_gguf(path: Path) -> bool:
    """Whether a path is to be read as a GGUF file: by its name, or by how it begins."""
    if path.suffix.lower() == SUFFIX:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:  # a folder, say
        return False


class GgufFile:
    """One file.

    Attributes:
        path: for messages.
        metadata: values by key: `int`, `float`, `bool`, `str`, NumPy arrays of numbers, sequences
            of `str`, lists of arrays.
        tensors: by name, in the order of the data.

    Raises:
        CheckpointError: it cannot be read or contradicts itself.
        UnsupportedModel: it is sound, but of a kind that is not read.
    """

    def __init__(self, path: Path) -> None:
        self._file: MappedFile | None = MappedFile(path, _LEAST_BYTES, "a GGUF file")
        self._read(self._file.content, self._file.num_bytes, path)

    @classmethod
    def from_bytes(cls, content: bytes, path: Path) -> "GgufFile":
        """Read a file that is in memory; `path` is its name in messages."""
        file = cls.__new__(cls)
        file._file = None
        file._read(content, len(content), path)
        return file

    @property
    def config(self) -> Metadata:
        """The keys, with checked access."""
        return Metadata(self.metadata, str(self.path))

    def bytes_of(self, name: str) -> memoryview:
        """View a tensor's bytes, read-only."""
        tensor = self.tensors[name]
        return memoryview(self._content).toreadonly()[
            tensor.offset : tensor.offset + tensor.num_bytes
        ]

    def array(self, name: str) -> npt.NDArray[np.uint8]:
        """View a tensor's bytes as an array, read-only."""
        return np.frombuffer(self.bytes_of(name), np.uint8)

    def forget(self, name: str) -> None:
        """Give a tensor's pages back to the system; they are read again if they are touched."""
        tensor = self.tensors[name]
        if self._file is not None:
            self._file.forget(tensor.offset, tensor.offset + tensor.num_bytes)

    def _read(self, content: Content, num_bytes: int, path: Path) -> None:
        self.path = path
        self._content = content
        header = read_header(content, num_bytes, path)
        self.metadata = header.metadata
        num_shards = self.config.integer(_SHARDS, 0, 65_535, 1)
        if num_shards > 1:
            message = (
                f"{path} is one of {num_shards} files of a model; merge them into one, "
                "for example with llama-gguf-split --merge"
            )
            raise UnsupportedModel(message)
        num_data_bytes = max(0, num_bytes - header.data_start)
        region = DataRegion(header.data_start, num_data_bytes, header.alignment, path)
        self.tensors = {tensor.name: tensor for tensor in region.place(header.entries)}
