from typing import Any

import pytest

from tercet_engine import CheckpointError
from tercet_engine.gguf.byte_pairs import byte_pairs_json
from tercet_engine.gguf.pre_tokenizers import find_pre_tokenizer
from tercet_engine.gguf.vocabulary import read_vocabulary
from tests.oracle.gguf_models import metadata_of

TOKENS = ["a", "b", "ab", " ", "  ", "<s>"]


def model(merges: Any, kinds: list[int] | None = None, pre: str = "llama-bpe") -> dict[str, Any]:
    keys = {"tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.merges": merges}
    metadata = metadata_of(keys | ({"tokenizer.ggml.token_type": kinds} if kinds else {}))
    vocabulary = read_vocabulary(metadata, is_sentence_piece=False)
    described = byte_pairs_json(vocabulary, metadata, find_pre_tokenizer(pre, ""))
    return {**described["model"], "normalizer": described["normalizer"]}


def test_a_merge_is_cut_at_the_space_between_its_halves() -> None:
    assert model(["a b", "   "])["merges"] == [("a", "b"), (" ", " ")]


def test_merges_into_tokens_that_are_not_text_are_left_out() -> None:
    assert model(["a b"], kinds=[1, 1, 3, 1, 1, 1])["merges"] == []
    assert model(["a b"], kinds=[1, 1, 4, 1, 1, 1])["merges"] == []
    assert model(["a b"], kinds=[1, 1, 1, 1, 1, 3])["merges"] == [("a", "b")]


def test_special_tokens_at_the_end_are_not_in_the_model() -> None:
    assert "<s>" not in model(["a b"], kinds=[1, 1, 1, 1, 1, 3])["vocab"]
    assert model(["a b"], kinds=[3, 1, 1, 1, 1, 1])["vocab"]["a"] == 0


def test_whole_pieces_are_looked_up_where_the_model_does_so() -> None:
    assert model(["a b"], pre="llama-bpe")["ignore_merges"]
    assert not model(["a b"], pre="gpt-2")["ignore_merges"]


def test_accents_are_composed_where_the_model_does_so() -> None:
    assert model(["a b"], pre="qwen2")["normalizer"] == {"type": "NFC"}
    assert model(["a b"], pre="llama-bpe")["normalizer"] is None


@pytest.mark.parametrize("merge", ["", "a", "a ", " b", "ab", "b a", "a b c", "a  b", "<s> a"])
def test_a_merge_that_joins_no_two_tokens_is_refused(merge: str) -> None:
    with pytest.raises(CheckpointError, match=r"merge 1 of tokenizer\.ggml\.merges is"):
        model(["a b", merge])


@pytest.mark.parametrize("merges", [5, [1, 2]])
def test_merges_that_are_no_strings_are_refused(merges: Any) -> None:
    with pytest.raises(CheckpointError, match="merges must be an array of"):
        model(merges)
