import pytest
from tokenizers import pre_tokenizers

from tercet_engine import UnsupportedModel
from tercet_engine.gguf.pre_tokenizers import PreTokenizer, find_pre_tokenizer


def cut(name: str, text: str) -> list[str]:
    """Cut a text of ASCII; a space is written as the byte-level alphabet's Ġ, a line end as Ċ."""
    steps = find_pre_tokenizer(name, "model.gguf").as_json()["pretokenizers"]
    backend = pre_tokenizers.Sequence([made(step) for step in steps])
    return [piece for piece, _ in backend.pre_tokenize_str(text)]


def made(step: dict[str, object]) -> pre_tokenizers.PreTokenizer:
    """Make the library's object from a step of a `tokenizer.json`."""
    import json

    import tokenizers
    from tokenizers import models

    empty = json.loads(tokenizers.Tokenizer(models.BPE()).to_str())
    backend = tokenizers.Tokenizer.from_str(json.dumps({**empty, "pre_tokenizer": step}))
    assert backend.pre_tokenizer is not None
    return backend.pre_tokenizer


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello world", ["Hello", "Ġworld"]),
        ("I'm he'S DON'T", ["I", "'m", "Ġhe", "'S", "ĠDON", "'T"]),
        ("12345678", ["123", "456", "78"]),
        ("a 1234", ["a", "Ġ", "123", "4"]),
        ("  two", ["Ġ", "Ġtwo"]),
        ("a   ", ["a", "ĠĠĠ"]),
        ("x \n\n y", ["x", "ĠĊĊ", "Ġy"]),
        ("end.\n\nNext", ["end", ".ĊĊ", "Next"]),
        ("(foo)", ["(foo", ")"]),
        ("a_b c++", ["a", "_b", "Ġc", "++"]),
        ("<|eot_id|>", ["<|", "eot", "_id", "|>"]),
        ("\tif", ["ĉif"]),
    ],
)
def test_llama_3_cuts(text: str, pieces: list[str]) -> None:
    assert cut("llama-bpe", text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Hello world", ["Hello", "Ġworld"]),
        ("I'm he'S", ["I", "'m", "Ġhe", "'", "S"]),
        ("12345678 90", ["12345678", "Ġ90"]),
        ("(foo)", ["(", "foo", ")"]),
        ("x \n\n y", ["x", "ĠĊĊ", "Ġy"]),
        ("end.\n\nNext", ["end", ".", "Ċ", "Ċ", "Next"]),
        ("a   ", ["a", "ĠĠĠ"]),
    ],
)
def test_gpt_2_cuts(text: str, pieces: list[str]) -> None:
    assert cut("gpt-2", text) == cut("default", text) == pieces


@pytest.mark.parametrize(
    ("name", "text", "pieces"),
    [
        ("qwen2", "12345", ["1", "2", "3", "4", "5"]),
        ("qwen2", "(foo) I'M", ["(foo", ")", "ĠI", "'M"]),
        ("smollm", "a 123", ["a", "Ġ", "1", "2", "3"]),
        ("smollm", "(foo)", ["(", "foo", ")"]),
        ("falcon", "a 1234", ["a", "Ġ", "123", "4"]),
        ("falcon", "x<=y", ["x", "<=", "y"]),
        ("smaug-bpe", "12345", ["123", "45"]),
        ("deepseek-coder", "a b\n12", ["a", "Ġb", "Ċ", "1", "2"]),
        ("deepseek-v3", "12345+x (foo)", ["123", "45", "+x", "Ġ(", "foo", ")"]),
    ],
)
def test_the_others_cut(name: str, text: str, pieces: list[str]) -> None:
    assert cut(name, text) == pieces


def test_marks_belong_to_words_only_where_the_model_says_so() -> None:
    text = "e\u0301a"  # an accent of its own

    assert len(cut("qwen35", text)) == 1
    assert len(cut("smaug-bpe", text)) == 2


def test_names_of_one_kind_are_one_kind() -> None:
    kinds = {find_pre_tokenizer(name, "") for name in ("llama-bpe", "llama3", "falcon3")}

    assert len(kinds) == 1
    assert kinds.pop().looks_up_pieces


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedModel, match=r"model\.gguf: .*pre is bloom, .*llama-bpe.*qwen2"):
        find_pre_tokenizer("bloom", "model.gguf")


def test_every_pattern_is_one_for_the_library() -> None:
    from tercet_engine.gguf.pre_tokenizers import _KINDS

    for names, kind in _KINDS.items():
        assert isinstance(kind, PreTokenizer)
        assert "".join(cut(names[0], "Ab 12, \n")) == "AbĠ12,ĠĊ"
