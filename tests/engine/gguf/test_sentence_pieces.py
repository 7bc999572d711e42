"""SentencePiece tokenizers, held against its algorithm written out in the plainest way."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tercet_engine import CheckpointError, Tokenizer
from tercet_engine.chat_template import ChatTemplate
from tercet_engine.gguf import GgufTokenizer
from tests.oracle.gguf_models import metadata_of, piece_keys

PIECES = {
    "▁": -20.0,
    "a": -21.0,
    "b": -22.0,
    "c": -23.0,
    "ab": -1.0,
    "bc": -2.0,
    "▁a": -3.0,
    "▁ab": -4.0,
    "abc": -5.0,
    "ca": -6.0,
    "▁▁": -7.0,
    "abcab": -8.0,
    "cab": -9.0,
    "é": -24.0,
    "aa": -9.5,
    "aaa": -9.6,
}
FIRST_PIECE = 3 + 256
IDS = {piece: FIRST_PIECE + index for index, piece in enumerate(PIECES)}


def build(**more: Any) -> Tokenizer:
    extra = {f"tokenizer.ggml.{name}": value for name, value in more.items()}
    return GgufTokenizer(metadata_of(piece_keys(PIECES) | extra)).tokenizer()


TOKENIZER = build()


def expected(text: str) -> list[int]:
    """Join the two neighbours that make the best piece, the leftmost of equals, while any do."""
    symbols = list(("▁" + text.replace(" ", "▁")) if text else "")
    while True:
        scores = [PIECES.get(a + b, -1e9) for a, b in itertools.pairwise(symbols)]
        if not scores or max(scores) == -1e9:
            break
        place = scores.index(max(scores))
        symbols[place : place + 2] = [symbols[place] + symbols[place + 1]]
    return [token for symbol in symbols for token in ids_of(symbol)]


def ids_of(symbol: str) -> list[int]:
    return [IDS[symbol]] if symbol in IDS else [3 + byte for byte in symbol.encode()]


@given(st.text("abcé \nxß😀", max_size=40))
def test_ids_are_those_of_the_algorithm(text: str) -> None:
    assert TOKENIZER.encode(text, add_special_tokens=False) == expected(text)


@given(st.text("abcé \nxß😀", max_size=40))
def test_decoding_undoes_encoding(text: str) -> None:
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


@given(st.text("abc ", min_size=1, max_size=30))
def test_without_a_prefix_a_text_begins_as_it_is(text: str) -> None:
    plain = build_without_prefix()

    assert plain.decode(plain.encode(text)) == text
    assert plain.encode(f" {text}") == TOKENIZER.encode(text)


def build_without_prefix(built: list[Tokenizer] = []) -> Tokenizer:  # noqa: B006 -- made once
    if not built:
        built.append(build(add_space_prefix=False))
    return built[0]


def test_pairs_are_ranked_by_what_they_make_and_the_longer_left_half_goes_first() -> None:
    merges = json.loads(TOKENIZER.to_json())["model"]["merges"]

    assert merges[:3] == [["a", "b"], ["b", "c"], ["▁", "a"]]
    assert merges[-2:] == [["aa", "a"], ["a", "aa"]]


def test_every_stretch_between_special_tokens_has_its_prefix() -> None:
    assert TOKENIZER.encode("a</s>a") == [1, IDS["▁a"], 2, IDS["▁a"]]


def test_bos_comes_first_unless_the_file_says_no() -> None:
    assert TOKENIZER.encode("a") == [1, IDS["▁a"]]
    assert build(add_bos_token=False).encode("a") == [IDS["▁a"]]


def test_what_is_typed_never_becomes_a_byte_or_special_token() -> None:
    pieces = {"▁": -1.0, **dict.fromkeys("<0xA>s/u", -2.0), "<0": -3.0, "<0x": -3.0}
    pieces |= {"<0x0": -3.0, "<0x0A": -3.0, "</": -3.0, "</s": -3.0}
    tokenizer = GgufTokenizer(metadata_of(piece_keys(pieces))).tokenizer()
    tokens = tokenizer.encode("<0x0A> </\ue000s>", add_special_tokens=False, mark="\ue000")

    assert min(tokens) >= FIRST_PIECE
    assert tokenizer.decode(tokens) == "<0x0A> </s>"


def test_a_token_that_users_defined_is_found_before_merging() -> None:
    keys = piece_keys(PIECES | {"abc▁abc": 0.0})
    keys["tokenizer.ggml.token_type"][-1] = 4
    tokenizer = GgufTokenizer(metadata_of(keys)).tokenizer()
    token = FIRST_PIECE + len(PIECES)

    assert tokenizer.encode("abc abc", add_special_tokens=False) == [token]
    assert tokenizer.token_bytes(token) == b"abc abc"


def test_without_bytes_what_no_piece_holds_is_unknown() -> None:
    keys = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": ["<unk>", "▁", "a"],
        "tokenizer.ggml.scores": [0.0, -1.0, -2.0],
        "tokenizer.ggml.token_type": [2, 1, 1],
    }
    tokenizer = GgufTokenizer(metadata_of(keys)).tokenizer()

    assert tokenizer.encode("axxa") == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([0.0], "must be an array of 275 numbers; found an array of 1 float32"),
        ([float("nan")] * 275, "must be an array of 275 finite numbers"),
        ([float("-inf")] * 275, "must be an array of 275 finite numbers"),
    ],
)
def test_scores_that_do_not_fit_are_refused(scores: list[float], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        build(scores=scores)


def test_a_piece_too_long_to_be_cut_in_all_ways_is_refused() -> None:
    with pytest.raises(CheckpointError, match="token 259 has 257 characters; a piece has at most"):
        GgufTokenizer(metadata_of(piece_keys({"a" * 257: -1.0})))


def test_the_space_that_begins_an_answer_is_dropped_where_texts_begin_with_one() -> None:
    messages = [{"role": "user", "content": "a"}]
    source = "{{ messages[0].content }}"

    assert ChatTemplate(source, TOKENIZER).prompt(messages).strip_leading_space
    assert not ChatTemplate(source, build_without_prefix()).prompt(messages).strip_leading_space
