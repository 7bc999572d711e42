from typing import Any

import pytest

from tercet_engine import CheckpointError
from tercet_engine.gguf.vocabulary import MAX_TOKENS, TokenKind, Vocabulary, read_vocabulary
from tests.oracle.gguf_models import metadata_of
from tests.oracle.gguf_writer import Kind, Typed


def read(is_sentence_piece: bool = False, **keys: Any) -> Vocabulary:
    named = {f"tokenizer.ggml.{name}": value for name, value in keys.items()}
    return read_vocabulary(metadata_of(named), is_sentence_piece=is_sentence_piece)


def test_tokens_have_the_kinds_that_the_file_gives_them() -> None:
    vocabulary = read(tokens=["a", "<s>", "<tool>", "<unk>"], token_type=[1, 3, 4, 2])

    assert [vocabulary.is_special(token) for token in range(4)] == [False, True, False, True]
    assert [vocabulary.is_added(token) for token in range(4)] == [False, True, True, True]


def test_without_kinds_all_tokens_are_text() -> None:
    assert set(read(tokens=["a", "b"]).kinds) == {TokenKind.NORMAL}


def test_what_begins_or_ends_a_text_is_special_whatever_its_kind() -> None:
    vocabulary = read(tokens=["a", "b", "c", "d"], bos_token_id=1, eos_token_id=2, eot_token_id=3)

    assert [vocabulary.is_special(token) for token in range(4)] == [False, True, True, True]
    assert vocabulary.parts == {"bos": 1, "eos": 2, "eot": 3}


def test_parts_that_older_pieces_files_leave_out_are_where_they_usually_are() -> None:
    tokens, kinds = ["<unk>", "<s>", "</s>", "a"], [2, 3, 3, 1]

    assert read(True, tokens=tokens, token_type=kinds).parts == {"unk": 0, "bos": 1, "eos": 2}
    assert read(True, tokens=tokens, token_type=[1, 1, 1, 1]).parts == {}
    assert read(False, tokens=tokens, token_type=kinds).parts == {}


def test_a_hole_is_an_unused_token_of_a_name_of_its_own() -> None:
    vocabulary = read(tokens=["a", "", "", "b"])

    assert vocabulary.texts == ["a", "<unused 1>", "<unused 2>", "b"]
    assert vocabulary.kinds == [1, 5, 5, 1]


@pytest.mark.parametrize(
    ("kinds", "in_model", "used"),
    [
        ([1, 1, 3, 3], 2, 4),
        ([1, 3, 1, 3], 3, 4),
        ([3, 1, 1, 5], 3, 3),
        ([1, 3, 5, 5], 1, 2),
        ([1, 5, 3, 4], 2, 4),
    ],
)
def test_the_model_lists_all_but_the_added_tokens_at_the_end(
    kinds: list[int], in_model: int, used: int
) -> None:
    vocabulary = read(tokens=["a", "b", "c", "d"], token_type=kinds)

    assert vocabulary.num_in_model() == in_model
    assert vocabulary.num_used() == used


def test_tokens_that_users_of_pieces_defined_hold_spaces() -> None:
    assert read(True, tokens=["▁", "▁▁"], token_type=[1, 4]).texts == ["▁", "  "]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({}, f"tokens must be an array of 1 to {MAX_TOKENS} strings; found nothing"),
        ({"tokens": Typed(Kind.STRING, [])}, "found an array of 0 strings"),
        ({"tokens": [1, 2]}, "found an array of 2 int32"),
        ({"tokens": ["a", "b", "a"]}, "tokens 0 and 2 have the same text"),
        ({"tokens": ["x" * 1025]}, "token 0 has 1025 characters; at most 1024 are read"),
        ({"tokens": ["a"], "token_type": [1, 1]}, "token_type must be an array of 1 numbers"),
        ({"tokens": ["a"], "token_type": [7]}, "token_type must be an array of kinds from 1 to 6"),
        ({"tokens": ["a"], "token_type": [1.0]}, "token_type must be an array of kinds"),
        ({"tokens": ["a"], "eos_token_id": 1}, "eos_token_id must be an integer from 0 to 0"),
        ({"tokens": ["a"], "bos_token_id": "a"}, "bos_token_id must be an integer"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(
    keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        read(**keys)
