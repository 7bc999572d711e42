"""The bytes that a token's piece stands for, in the two ways in which tokenizers write bytes.

A byte-level tokenizer writes every byte as one visible character. A SentencePiece tokenizer writes
text as it is but for spaces, which are "▁", and bytes of what it has no piece for, "<0x0A>".
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final

import tokenizers
from tokenizers import decoders

from tercet_engine.errors import UnsupportedModel

PieceBytes = Callable[[str], bytes]
_BYTE: Final = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def piece_bytes(backend: tokenizers.Tokenizer) -> PieceBytes:
    """Find out how a tokenizer writes bytes.

    Raises:
        UnsupportedModel: in neither way; its tokens do not stand for fixed bytes.
    """
    decoder = backend.decoder
    if isinstance(decoder, decoders.ByteLevel):
        return _byte_level_bytes
    steps = _steps(decoder)
    if steps in (_SENTENCE_PIECE, [*_SENTENCE_PIECE, _STRIP]):
        return _sentence_piece_bytes
    kind = type(decoder).__name__
    message = f"the tokenizer's decoder is {kind}; only ByteLevel and SentencePiece's are supported"
    raise UnsupportedModel(message)


def strips_first_space(backend: tokenizers.Tokenizer) -> bool:
    """Whether the tokenizer takes a space off what it decodes, having put one before each text."""
    return _STRIP in _steps(backend.decoder)


_SENTENCE_PIECE: Final[list[dict[str, Any]]] = [
    {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
_STRIP: Final = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def _steps(decoder: Any) -> list[Any]:
    if not isinstance(decoder, decoders.Sequence):
        return []
    steps = json.loads(decoder.__getstate__())["decoders"]
    assert isinstance(steps, list)
    return steps


def _byte_level_bytes(piece: str) -> bytes:
    try:
        return bytes(_BYTE_OF_CHAR[char] for char in piece)
    except KeyError:  # not in the byte-level alphabet: it stands for itself
        return piece.encode()


def _sentence_piece_bytes(piece: str) -> bytes:
    if byte := _BYTE.fullmatch(piece):
        return bytes.fromhex(byte[1])
    return piece.replace("▁", " ").encode()


def _byte_of_char() -> dict[str, int]:
    """Invert the byte-level alphabet: printable Latin-1 stands for itself, the rest from U+0100."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(printable))
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }


_BYTE_OF_CHAR: Final = _byte_of_char()
