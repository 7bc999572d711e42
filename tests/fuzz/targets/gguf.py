"""GGUF files, damaged and hostile: each is read in full or refused in words.

Each is opened, every value is looked at, every byte of every tensor is read, and its tokenizer is
built and used. Opening may allocate no more than a small multiple of the file's size.
"""

import random
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tercet_engine import CheckpointError, UnsupportedModel
from tercet_engine.gguf import GgufFile, GgufTokenizer
from tercet_engine.gguf.strings import StringArray
from tests.fuzz.gguf_cases import DAMAGES, hostile_file, valid_files
from tests.fuzz.refusals import refused
from tests.fuzz.target import Finding, Target

ALLOWED_PER_BYTE: Final = 32
ALLOWED_BYTES: Final = 1 << 20
PATH: Final = Path("hostile.gguf")
TEXTS: Final = ("ab a<s></s> \n12345 é", "<tool>", "")
_TRACED: Final = 4
"""One in so many is traced, which takes several times as long."""


def run(content: bytes) -> str:
    """Read one file."""
    try:
        is_traced = content[-1:] and content[-1] % _TRACED == 0
        file = open_traced(content) if is_traced else open_file(content)
        read_tensors(file, content)
    except (CheckpointError, UnsupportedModel) as error:
        check_message(error)
        return refused(error)
    if "tokenizer.ggml.model" not in file.metadata:
        return "read"
    try:
        use_tokenizer(file)
    except (CheckpointError, UnsupportedModel) as error:
        check_message(error)
        return f"read, its tokenizer {refused(error)}"
    return "read with its tokenizer"


def open_file(content: bytes) -> GgufFile:
    """Open it and look at every value."""
    file = GgufFile.from_bytes(content, PATH)
    for value in file.metadata.values():
        if isinstance(value, StringArray):
            value.decode()
    return file


def open_traced(content: bytes) -> GgufFile:
    """Open it, with an eye on what is allocated."""
    tracemalloc.start()
    try:
        return open_file(content)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        if peak > ALLOWED_BYTES + ALLOWED_PER_BYTE * len(content):
            message = f"{peak} bytes for a file of {len(content)}"
            raise Finding(message)


def read_tensors(file: GgufFile, content: bytes) -> None:
    """Read every byte of every tensor; none may lie within another."""
    end = 0
    for tensor in file.tensors.values():
        assert tensor.offset >= end, "overlap"
        end = tensor.offset + tensor.num_bytes
        assert file.bytes_of(tensor.name) == content[tensor.offset : end]
        assert file.array(tensor.name).size == tensor.num_bytes
        assert tensor.num_bytes > 0


def check_message(error: Exception) -> None:
    """A refusal must name the file."""
    if str(PATH) not in str(error):
        message = f"no word of the file: {error}"
        raise Finding(message) from error


def use_tokenizer(file: GgufFile) -> None:
    """Build the tokenizer and turn a few texts to and fro."""
    described = GgufTokenizer(file.config)
    described.config()
    tokenizer = described.tokenizer()
    for text in TEXTS:
        tokens = tokenizer.encode(text)
        tokenizer.decode(tokens)
        assert all(0 <= token < tokenizer.vocab_size for token in tokens)
    for token in described.end_token_ids:
        tokenizer.token_text(token)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """A file of lies told to a writer, or more damage to this one."""
    if rng.random() < 0.5:
        return hostile_file(rng)
    content = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        rng.choice(DAMAGES)(content, rng, min(len(content), 4000))
    return bytes(content)


def seeds() -> Sequence[bytes]:
    """Sound files."""
    return [writer.to_bytes() for writer in valid_files()]


def open_target() -> Callable[[bytes], str]:
    """Nothing has to be prepared."""
    return run


TARGET = Target("gguf", open_target, mutate, seeds, guided_by=("tercet_engine.gguf",))
