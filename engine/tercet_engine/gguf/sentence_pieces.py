"""A SentencePiece tokenizer (`tokenizer.ggml.model` "llama") in the form of a `tokenizer.json`.

SentencePiece merges, wherever it can, the two neighbours that make the piece with the best score.
Merging by rank does the same when every pair that makes a piece is ranked by the piece's score; of
the pairs that make one piece the longer left half goes first, as in published tokenizers.

Spaces are written "▁", one is put before each stretch of text between added tokens unless the file
says no (as published tokenizers of this kind do), and a character that no piece holds is spelled in
bytes.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tercet_engine.errors import CheckpointError
from tercet_engine.gguf.metadata import Metadata
from tercet_engine.gguf.vocabulary import SPACE, TokenKind, Vocabulary

MAX_PIECE_CHARS: Final = 256
_BYTES: Final = tuple(f"<0x{byte:02X}>" for byte in range(256))


def sentence_pieces_json(vocabulary: Vocabulary, metadata: Metadata) -> dict[str, Any]:
    """Describe the tokenizer, but for its added tokens and what it puts around a text.

    Raises:
        CheckpointError: the scores are missing or do not fit the tokens.
    """
    key = "tokenizer.ggml.scores"
    scores = metadata.numbers(key, len(vocabulary.texts))
    if scores is None or not all(map(math.isfinite, scores.tolist())):
        raise metadata.error(key, f"an array of {len(vocabulary.texts)} finite numbers")
    has_prefix = metadata.flag("tokenizer.ggml.add_space_prefix", default=True)
    texts = vocabulary.texts[: vocabulary.num_in_model()]
    ids = {text: token for token, text in enumerate(texts)}
    unknown = vocabulary.parts.get("unk")
    return {
        "normalizer": _normalizer(has_prefix=has_prefix),
        "pre_tokenizer": None,
        "decoder": _decoder(has_prefix=has_prefix),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": texts[unknown] if unknown is not None and unknown < len(texts) else None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": all(text in ids for text in _BYTES),
            "ignore_merges": False,
            "vocab": ids,
            "merges": _merges(vocabulary, ids, scores.tolist()),
        },
    }


def _normalizer(*, has_prefix: bool) -> dict[str, Any]:
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if not has_prefix:
        return spaces
    return {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]}


def _decoder(*, has_prefix: bool) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if has_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _merges(
    vocabulary: Vocabulary, ids: dict[str, int], scores: Sequence[float]
) -> list[tuple[str, str]]:
    """All pairs of pieces that make a piece, the best first."""
    ranked = [
        (-scores[token], -len(left), token, left, right)
        for token, text in enumerate(vocabulary.texts[: len(ids)])
        if vocabulary.kinds[token] == TokenKind.NORMAL and len(text) > 1
        for left, right in _halves(text, token, vocabulary.source)
        if left in ids and right in ids
    ]
    ranked.sort()
    return [(left, right) for _, _, _, left, right in ranked]


def _halves(text: str, token: int, source: str) -> Iterator[tuple[str, str]]:
    if len(text) > MAX_PIECE_CHARS:
        message = (
            f"{source}: token {token} has {len(text)} characters; a piece has at most "
            f"{MAX_PIECE_CHARS}"
        )
        raise CheckpointError(message)
    return ((text[:cut], text[cut:]) for cut in range(1, len(text)))
