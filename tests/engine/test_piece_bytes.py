import json
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models

from tercet_engine import UnsupportedModel
from tercet_engine.piece_bytes import piece_bytes, strips_first_space

SPACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
BYTES = {"type": "ByteFallback"}
FUSE = {"type": "Fuse"}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}


def backend(*steps: dict[str, Any]) -> tokenizers.Tokenizer:
    empty = json.loads(tokenizers.Tokenizer(models.BPE()).to_str())
    sequence = {"type": "Sequence", "decoders": list(steps)}
    return tokenizers.Tokenizer.from_str(json.dumps({**empty, "decoder": sequence}))


def test_a_byte_level_piece_is_a_byte_a_character() -> None:
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.decoder = decoders.ByteLevel()
    bytes_of = piece_bytes(tokenizer)

    assert bytes_of("ĠHi") == b" Hi"
    assert bytes_of("Ã©") == "é".encode()
    assert bytes_of("你 x") == "你 x".encode()
    assert not strips_first_space(tokenizer)


def test_a_sentence_piece_is_text_or_a_byte() -> None:
    bytes_of = piece_bytes(backend(SPACE, BYTES, FUSE, STRIP))

    assert bytes_of("▁Hi▁") == b" Hi "
    assert bytes_of("<0x0A>") == b"\n"
    assert bytes_of("<0xff>") == b"\xff"
    assert bytes_of("<0x0A>a") == b"<0x0A>a"


def test_the_first_space_is_stripped_where_one_was_put() -> None:
    assert strips_first_space(backend(SPACE, BYTES, FUSE, STRIP))
    assert not strips_first_space(backend(SPACE, BYTES, FUSE))


@pytest.mark.parametrize("steps", [[], [SPACE], [SPACE, BYTES], [BYTES, SPACE, FUSE]])
def test_another_sequence_is_refused(steps: list[dict[str, Any]]) -> None:
    with pytest.raises(UnsupportedModel, match="decoder is Sequence; only ByteLevel and"):
        piece_bytes(backend(*steps))
