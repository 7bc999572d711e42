from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models, pre_tokenizers

from tercet_engine import EMBEDDED_MODEL, CheckpointError, Tokenizer, UnsupportedModel
from tests.fuzz.target import CORPUS

SPECIAL = ["<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(EMBEDDED_MODEL)


@pytest.fixture(scope="module")
def library() -> tokenizers.Tokenizer:
    """The same tokenizer, used as its library means it."""
    return tokenizers.Tokenizer.from_file(str(EMBEDDED_MODEL / "tokenizer.json"))


texts = st.lists(st.text(max_size=12) | st.sampled_from([*SPECIAL, " ", "\n", "<|", "don't"])).map(
    "".join
)


@given(texts)
def test_encoding_is_the_librarys(
    tokenizer: Tokenizer, library: tokenizers.Tokenizer, text: str
) -> None:
    assert tokenizer.encode(text, add_special_tokens=False) == (
        library.encode(text, add_special_tokens=False).ids
    )


@given(texts)
def test_decoding_is_the_librarys(
    tokenizer: Tokenizer, library: tokenizers.Tokenizer, text: str
) -> None:
    tokens = tokenizer.encode(text)

    assert tokenizer.decode(tokens) == library.decode(tokens, skip_special_tokens=True)


@given(st.text())
def test_decoding_undoes_encoding(tokenizer: Tokenizer, text: str) -> None:
    plain = text
    for special in tokenizer.special_tokens:
        plain = plain.replace(special, "")

    assert tokenizer.decode(tokenizer.encode(plain)) == plain


def test_one_bos_is_added(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("Hi")[:1] == [tokenizer.token_id("<|begin_of_text|>")]


def test_no_second_bos_is_added(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("<|begin_of_text|>Hi") == tokenizer.encode("Hi")


def test_a_marked_special_token_is_text(tokenizer: Tokenizer) -> None:
    marked = tokenizer.encode("<\ue000|eot_id|>", add_special_tokens=False, mark="\ue000")

    assert tokenizer.token_id("<|eot_id|>") not in marked
    assert tokenizer.decode(marked) == "<|eot_id|>"


def test_the_empty_text_is_no_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("", add_special_tokens=False) == []


def test_half_a_surrogate_pair_is_encoded_as_something(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("a\ud83d")) == "a?"


def test_special_and_unknown_tokens_have_no_bytes(tokenizer: Tokenizer) -> None:
    eot = tokenizer.token_id("<|eot_id|>")
    assert eot is not None

    assert tokenizer.token_bytes(eot) == b""
    assert tokenizer.token_bytes(10**6) == b""


def test_added_tokens_that_are_not_special_are_text() -> None:
    backend = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_tokens(["<tool>"])
    tokenizer = Tokenizer(backend)

    assert tokenizer.encode("a<tool>") == [0, 1]
    assert tokenizer.decode([0, 1]) == "a<tool>"


def test_special_tokens_swallow_the_white_space_that_they_are_made_to() -> None:
    backend = tokenizers.Tokenizer(models.BPE({"a": 0, "Ġ": 1}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([tokenizers.AddedToken("<l>", lstrip=True, special=True)])
    backend.add_special_tokens([tokenizers.AddedToken("<r>", rstrip=True, special=True)])
    text = "a <l> a <r> a"
    expected = backend.encode(text).ids

    assert Tokenizer(backend).encode(text) == expected == [0, 2, 1, 0, 1, 3, 0]


def test_special_tokens_with_bars_swallow_white_space_too() -> None:
    backend = tokenizers.Tokenizer(models.BPE({"a": 0, "Ġ": 1}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = ("<|user|>", "<|end|>", "<|(x|>")
    backend.add_special_tokens([tokenizers.AddedToken(n, rstrip=True, special=True) for n in names])
    text = "a<|user|> a <|end|> a<|(x|>  a"
    expected = backend.encode(text).ids

    assert Tokenizer(backend).encode(text) == expected == [0, 2, 0, 1, 3, 0, 4, 0]


HOSTILE = CORPUS / "tokenizer"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ids-with-a-hole-of-two-billions", "id 2147483647; ids may be up to 2097151"),
        ("unknown-token-that-is-not-there", "does not work: Unk token"),
        ("post-processor-of-an-unknown-token", "does not work: "),
        ("begin-that-is-no-token", "the token 5 before texts, which it does not have"),
        ("prefix-longer-than-its-pieces", "cannot be read as a tokenizer"),
    ],
)
def test_a_tokenizer_that_fails_in_use_is_refused_when_loading(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "tokenizer.json").write_bytes((HOSTILE / name).read_bytes())

    with pytest.raises(CheckpointError, match=message):
        Tokenizer.from_folder(tmp_path)


def test_a_tokenizer_that_draws_lots_is_refused(tmp_path: Path) -> None:
    content = (HOSTILE / "merges-left-out-by-chance").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(content)

    with pytest.raises(UnsupportedModel, match="by chance"):
        Tokenizer.from_folder(tmp_path)


def test_a_tokenizer_without_tokens_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes((HOSTILE / "no-tokens-at-all").read_bytes())

    with pytest.raises(CheckpointError, match="no tokens"):
        Tokenizer.from_folder(tmp_path)


def test_ids_need_not_follow_each_other(tmp_path: Path) -> None:
    content = (HOSTILE / "ids-beyond-their-number").read_bytes()
    (tmp_path / "tokenizer.json").write_bytes(content)

    assert Tokenizer.from_folder(tmp_path).vocab_size == 5001


def test_a_lone_surrogate_is_no_token(tokenizer: Tokenizer) -> None:
    assert tokenizer.token_id("\udc00") is None


def test_truncation_and_padding_left_over_from_training_are_ignored() -> None:
    backend = tokenizers.Tokenizer.from_file(str(EMBEDDED_MODEL / "tokenizer.json"))
    backend.enable_truncation(3)
    backend.enable_padding(length=50)

    assert len(Tokenizer(backend).encode("a b c d e f", add_special_tokens=False)) == 6


def test_a_token_outside_the_byte_alphabet_stands_for_itself() -> None:
    backend = tokenizers.Tokenizer(models.BPE({"\u4f60 x": 0}, []))
    backend.decoder = decoders.ByteLevel()

    assert Tokenizer(backend).decode([0]) == "\u4f60 x" == backend.decode([0])


def test_a_tokenizer_whose_tokens_are_not_bytes_is_refused() -> None:
    backend = tokenizers.Tokenizer(models.BPE({"a": 0}, []))
    backend.decoder = decoders.WordPiece()

    with pytest.raises(UnsupportedModel, match="decoder is WordPiece"):
        Tokenizer(backend)


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"tokenizer.json is missing"):
        Tokenizer.from_folder(tmp_path)


def test_a_damaged_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')

    with pytest.raises(CheckpointError, match="cannot be read as a tokenizer"):
        Tokenizer.from_folder(tmp_path)
