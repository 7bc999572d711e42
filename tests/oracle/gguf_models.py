"""GGUF files and keys for tests: tensors of every type, and tokenizers that are known otherwise."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tercet_engine.gguf import GgufFile, Metadata
from tests.oracle.gguf_writer import GgufWriter, Kind, Tensor, Typed

SUPPORTED = {
    0: (1, 4),
    1: (1, 2),
    2: (32, 18),
    8: (32, 34),
    14: (256, 210),
    30: (1, 2),
    34: (256, 54),
    35: (256, 66),
    42: (64, 18),
    142: (128, 34),
    143: (128, 28),
}
"""Weights and bytes of a block by type; I2_S aside, which is not all blocks."""
I2_S = 36


def tensor(type_id: int, rows: int, cols: int, fill: int = 1) -> Tensor:
    """A tensor of the size that its type asks for; byte i is (fill + i) mod 251."""
    if type_id == I2_S:
        num_bytes = rows * cols // 4 + 32
    else:
        block_weights, block_bytes = SUPPORTED[type_id]
        num_bytes = rows * cols // block_weights * block_bytes
    content = bytes((fill + index) % 251 for index in range(num_bytes))
    return Tensor(type_id, (rows, cols), content)


def every_kind() -> dict[str, Any]:
    """A key of every kind of value, and arrays of each."""
    scalars: dict[str, Any] = {
        "u8": Typed(Kind.U8, 200),
        "i8": Typed(Kind.I8, -100),
        "u16": Typed(Kind.U16, 60_000),
        "i16": Typed(Kind.I16, -30_000),
        "u32": Typed(Kind.U32, 4_000_000_000),
        "i32": Typed(Kind.I32, -2_000_000_000),
        "f32": Typed(Kind.F32, 0.5),
        "bool": Typed(Kind.BOOL, True),
        "string": Typed(Kind.STRING, "grün"),
        "u64": Typed(Kind.U64, 2**63 + 1),
        "i64": Typed(Kind.I64, -(2**62)),
        "f64": Typed(Kind.F64, 1e-300),
    }
    arrays = {f"{name}s": Typed(one.kind, [one.value, one.value]) for name, one in scalars.items()}
    nested = {"nested": [[1, 2], ["a", ""], [[True]], []], "empty": Typed(Kind.STRING, [])}
    return scalars | arrays | nested


def every_type() -> dict[str, Tensor]:
    """A tensor of every type that is read."""
    return {
        f"blk.{type_id}.weight": tensor(type_id, 3, 512, type_id) for type_id in [*SUPPORTED, I2_S]
    }


def open_file(writer: GgufWriter) -> GgufFile:
    return GgufFile.from_bytes(writer.to_bytes(), Path("model.gguf"))


def metadata_of(keys: Mapping[str, Any]) -> Metadata:
    """Keys as they are after they were written and read."""
    return open_file(GgufWriter(keys)).config


def byte_level_keys(path: Path) -> dict[str, Any]:
    """Describe a published byte-level `tokenizer.json` of Llama 3's kind in GGUF's keys."""
    published = json.loads(path.read_text())
    model, added = published["model"], published["added_tokens"]
    ids = model["vocab"] | {token["content"]: token["id"] for token in added}
    texts = sorted(ids, key=lambda text: ids[text])
    special = {token["content"] for token in added}
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "llama-bpe",
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": [3 if text in special else 1 for text in texts],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in model["merges"]],
        "tokenizer.ggml.bos_token_id": ids["<|begin_of_text|>"],
        "tokenizer.ggml.eos_token_id": ids["<|end_of_text|>"],
        "tokenizer.ggml.add_bos_token": True,
    }


def piece_keys(pieces: Mapping[str, float]) -> dict[str, Any]:
    """Describe a SentencePiece vocabulary: <unk>, <s>, </s>, 256 bytes, then pieces by score."""
    fixed = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [*fixed, *pieces],
        "tokenizer.ggml.scores": [0.0] * len(fixed) + list(pieces.values()),
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * len(pieces)],
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
