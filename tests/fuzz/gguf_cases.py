"""Hostile GGUF files, each made from a number: the same number gives the same file."""

import random
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

from tests.oracle.gguf_models import every_kind, every_type, piece_keys, tensor
from tests.oracle.gguf_writer import GgufWriter, Kind, Typed

HOSTILE = (0, 1, 7, 8, 9, 31, 32, 36, 255, 65_537, 2**31 - 1, 2**31, 2**32 - 1, 2**32)
HOSTILE_LONG = (*HOSTILE, 2**62 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 33, 2**64 - 1)


@cache
def valid_files() -> tuple[GgufWriter, ...]:
    """Small sound files: every kind of value, every type of tensor, both tokenizers."""
    pieces = {"▁": -1.0, "a": -2.0, "b": -3.0, "▁a": -4.0, "ab": -1.5, "▁ab": -6.0}
    matrices = {f"blk.{layer}.ffn_up.weight": tensor(36, 4, 128) for layer in range(3)}
    return (
        GgufWriter({"general.architecture": "llama", **every_kind()}, every_type()),
        GgufWriter({"general.alignment": 64, **every_kind()}, every_type(), alignment=64),
        GgufWriter({"general.architecture": "bitnet-b1.58", **byte_keys()}, matrices),
        GgufWriter(piece_keys(pieces), {"output_norm.weight": tensor(0, 1, 40)}, version=2),
        GgufWriter({}, {"a": tensor(42, 8, 256), "b": tensor(42, 1, 512)}, pads_last=False),
        GgufWriter(byte_keys()),
    )


def byte_keys() -> dict[str, Any]:
    """A byte-level tokenizer of few tokens, with every kind of them."""
    tokens = ["a", "b", "Ġ", "ab", "Ġab", "", "<tool>", "<s>", "</s>", "[PAD9]"]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1, 1, 1, 1, 1, 1, 4, 3, 3, 5],
        "tokenizer.ggml.merges": ["a b", "Ġ ab"],
        "tokenizer.ggml.bos_token_id": 7,
        "tokenizer.ggml.eos_token_id": 8,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": "{{ messages }}",
    }


def hostile_file(rng: random.Random) -> bytes:
    """Make one file: lies told to the writer, damage done to what it wrote, or both."""
    writer = rng.choice(valid_files())
    lies = rng.randrange(3)
    for _ in range(lies):
        writer = rng.choice(LIES)(writer, rng)
    content = bytearray(writer.to_bytes())
    for _ in range(rng.choice((0, 0, 0, 1, 2)) if lies else rng.randint(1, 3)):
        rng.choice(DAMAGES)(content, rng, len(writer.header()))
    return bytes(content)


def truncate(content: bytearray, rng: random.Random, header: int) -> None:
    del content[rng.randrange(len(content) + 1) :]


def extend(content: bytearray, rng: random.Random, header: int) -> None:
    content += rng.randbytes(rng.choice((1, 31, 32, 33, 500)))


def flip_bits(content: bytearray, rng: random.Random, header: int) -> None:
    for _ in range(rng.choice((1, 1, 1, 8, 64))):
        if content:
            content[_place(content, rng, header)] ^= 1 << rng.randrange(8)


def overwrite(content: bytearray, rng: random.Random, header: int) -> None:
    number = rng.choice(HOSTILE_LONG)
    form = "<Q" if number >= 2**32 or rng.random() < 0.5 else "<I"
    place = _place(content, rng, header)
    content[place : place + struct.calcsize(form)] = struct.pack(form, number)


def swap(content: bytearray, rng: random.Random, header: int) -> None:
    size = rng.choice((4, 8, 16, 40))
    one, other = _place(content, rng, header), _place(content, rng, header)
    if abs(one - other) >= size:
        first, second = content[one : one + size], content[other : other + size]
        content[one : one + len(second)] = second
        content[other : other + len(first)] = first


def repeat(content: bytearray, rng: random.Random, header: int) -> None:
    place, size = _place(content, rng, header), rng.choice((1, 4, 8, 40, 200))
    content[place:place] = content[place : place + size]


def remove(content: bytearray, rng: random.Random, header: int) -> None:
    place = _place(content, rng, header)
    del content[place : place + rng.choice((1, 4, 8, 40, 200))]


def _place(content: bytearray, rng: random.Random, header: int) -> int:
    """A byte, most often of the header, and often among its first."""
    limit = rng.choice((24, header, header, len(content)))
    return rng.randrange(max(1, min(limit, len(content))))


DAMAGES: tuple[Callable[[bytearray, random.Random, int], None], ...] = (
    truncate,
    extend,
    flip_bits,
    overwrite,
    overwrite,
    swap,
    repeat,
    remove,
)


def lie_of_a_tensor(writer: GgufWriter, rng: random.Random) -> GgufWriter:
    if not writer.tensors:
        return writer
    name = rng.choice(list(writer.tensors))
    told = writer.tensors[name]
    match rng.randrange(4):
        case 0:
            told = replace(told, offset=rng.choice((0, 32, 33, 64, 4096, 2**62, 2**64 - 32)))
        case 1:
            told = replace(told, type_id=rng.choice((*range(48), 134, 142, 143, 335, 2**32 - 1)))
        case 2:
            sizes = [rng.choice((1, 64, 128, 512, *HOSTILE_LONG)) for _ in range(rng.randrange(6))]
            told = replace(told, shape=sizes)
        case _:
            told = replace(told, content=told.content[: rng.randrange(len(told.content) + 1)])
    return replace(writer, tensors={**writer.tensors, name: told})


def lie_of_a_name(writer: GgufWriter, rng: random.Random) -> GgufWriter:
    if len(writer.tensors) < 2:
        return writer
    name = rng.choice(("", "a\0b", "x" * 1025, *writer.tensors))
    renamed = {
        name if index == 1 else old: t for index, (old, t) in enumerate(writer.tensors.items())
    }
    return replace(writer, tensors=renamed)


def lie_of_a_value(writer: GgufWriter, rng: random.Random) -> GgufWriter:
    keys = list(writer.metadata) or ["general.alignment"]
    return replace(writer, metadata={**writer.metadata, rng.choice(keys): strange_value(rng)})


def lie_of_an_item(writer: GgufWriter, rng: random.Random) -> GgufWriter:
    """Change an item of an array of a tokenizer, or its length."""
    lists = [key for key in writer.metadata if key.startswith("tokenizer.ggml.")]
    lists = [
        key for key in lists if isinstance(writer.metadata[key], list) and writer.metadata[key]
    ]
    if not lists:
        return writer
    key = rng.choice(lists)
    items = list(writer.metadata[key])
    index = rng.randrange(len(items))
    match rng.randrange(4):
        case 0:
            items[index] = items[rng.randrange(len(items))]
        case 1:
            del items[index]
        case 2:
            items.insert(index, items[index])
        case _ if isinstance(items[index], str):
            items[index] = rng.choice(("", " ", "a", "a b", "ab ", "x" * 2000, "\0", "<0x00>", "é"))
        case _ if isinstance(items[index], int):
            items[index] = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 2**31 - 1))
        case _:
            items[index] = rng.choice((float("nan"), float("inf"), -1e38))
    return replace(writer, metadata={**writer.metadata, key: items})


def lie_of_a_key(writer: GgufWriter, rng: random.Random) -> GgufWriter:
    keys = (
        "general.alignment",
        "split.count",
        "tokenizer.ggml.pre",
        "tokenizer.ggml.model",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.add_eos_token",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.ggml.padding_token_id",
        "tokenizer.chat_templates",
        "",
        "x" * 70_000,
    )
    return replace(writer, metadata={**writer.metadata, rng.choice(keys): strange_value(rng)})


def lie_of_the_version(writer: GgufWriter, rng: random.Random) -> GgufWriter:
    return replace(writer, version=rng.choice((0, 1, 2, 3, 4, 3 << 24, 2**32 - 1)))


def strange_value(rng: random.Random) -> Any:
    nested: list[Any] = [1]
    for _ in range(rng.choice((1, 3, 4, 5, 100))):
        nested = [nested]
    return rng.choice(
        (
            nested,
            Typed(Kind.U64, rng.choice(HOSTILE_LONG)),
            Typed(Kind.F64, rng.choice((float("nan"), float("inf"), -0.0))),
            Typed(Kind.STRING, ["default", "tool_use"]),
            rng.choice((["a", "b"], [""] * 300, [[]] * 300, [True, False], [0.5] * 10)),
            rng.choice((True, False, 0, 1, 32, 48, 0.5)),
            rng.choice(("", "default", "qwen2", "gpt2", "llama", b"\xff\xfe", "x" * 5000)),
        )
    )


LIES: tuple[Callable[[GgufWriter, random.Random], GgufWriter], ...] = (
    lie_of_a_tensor,
    lie_of_a_tensor,
    lie_of_a_name,
    lie_of_a_value,
    lie_of_an_item,
    lie_of_an_item,
    lie_of_a_key,
    lie_of_the_version,
)
