"""Safetensors files: headers that lie, and bytes that are no header at all."""

import json
import random
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from tercet_engine import CheckpointError
from tercet_engine.safetensors_file import SafetensorsFile
from tests.fuzz.bytes_mutator import NUMBERS, damage
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.refusals import refused
from tests.fuzz.target import Target
from tests.oracle.make_tiny import with_header

MEMORY = Path("/dev/shm")
_TYPES = ("BOOL", "U8", "I8", "F8_E4M3", "I16", "F16", "BF16", "F32", "U32", "I64", "F64", "Q4")
_header = json_mutator(
    ("dtype", "shape", "data_offsets", "__metadata__", "a", "model.norm.weight"), _TYPES
)


def temporary_folder() -> Path:
    """A folder in memory, where there is one; the system forgets it with the machine."""
    return Path(tempfile.mkdtemp(prefix="tercet-fuzz-", dir=MEMORY if MEMORY.is_dir() else None))


def seeds() -> list[bytes]:
    """Sound files: of each type a tensor, empty ones, scalars, a name of every kind."""

    def entry(start: int, end: int, shape: list[int], dtype: str) -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}

    return [
        with_header({"a": entry(0, 7, [7], "U8"), "b": entry(7, 11, [2], "BF16")}, bytes(11)),
        with_header({"a": entry(0, 16, [2, 2], "F32"), "s": entry(16, 20, [], "U32")}, bytes(20)),
        with_header({"__metadata__": {"format": "pt"}, "e": entry(0, 0, [0, 3], "F16")}, b""),
        with_header({"a": entry(8, 16, [1], "I64"), "b": entry(0, 8, [2, 2], "I16")}, bytes(16)),
        with_header({}, b""),
    ]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Lie in the header's tree, whose length then is told truly or not; or damage the bytes."""
    if len(data) < 8 or rng.random() < 0.3:
        return damage(data, rng)
    (length,) = struct.unpack("<Q", data[:8])
    content = data[8 + min(length, len(data)) :]
    header = _header(data[8 : 8 + length].strip(), rng)
    if rng.random() < 0.2:
        content = content[: rng.randrange(len(content) + 1)] or rng.randbytes(rng.choice((1, 8)))
    told = rng.choice(NUMBERS) if rng.random() < 0.05 else len(header)
    return struct.pack("<Q", told % 2**64) + header + content


def open_target() -> Callable[[bytes], str]:
    """Each input is a file in memory."""
    path = temporary_folder() / "model.safetensors"

    def run(data: bytes) -> str:
        path.write_bytes(data)
        try:
            file = SafetensorsFile(path)
        except CheckpointError as error:
            return refused(error)
        for name, info in file.tensors.items():
            assert len(file.bytes_of(name)) == info.num_bytes
            file.expect(name)
            try:
                assert file.array(name).nbytes == info.num_bytes
            except CheckpointError as error:
                refused(error)
            file.forget(name)
        json.dumps(list(file.tensors))
        return "read"

    return run


TARGET = Target(
    "safetensors",
    open_target,
    mutate,
    seeds,
    guided_by=("tercet_engine.safetensors_file", "tercet_engine.mapped_file"),
)
