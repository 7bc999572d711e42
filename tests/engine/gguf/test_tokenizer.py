import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from tercet_engine import EMBEDDED_MODEL, CheckpointError, Tokenizer, UnsupportedModel
from tercet_engine.chat_template import ChatTemplate
from tercet_engine.gguf import GgufTokenizer
from tests.oracle.gguf_models import byte_level_keys, metadata_of, piece_keys

PUBLISHED = EMBEDDED_MODEL / "tokenizer.json"
BYTE_LEVEL = byte_level_keys(PUBLISHED)
PIECES = piece_keys({"▁": -1.0, "a": -2.0, "▁a": -3.0})
SPECIAL = ["<|begin_of_text|>", "<|eot_id|>", "<|end_of_text|>"]
texts = st.lists(
    st.text(max_size=12) | st.sampled_from([*SPECIAL, " ", "\n", "<|", "don't", "Once upon a time"])
).map("".join)


def describe(
    keys: dict[str, Any], *left_out: str, told: str | None = None, **more: Any
) -> GgufTokenizer:
    named = {f"tokenizer.ggml.{name}": value for name, value in more.items()}
    kept = {key: value for key, value in keys.items() if key.split(".")[-1] not in left_out}
    return GgufTokenizer(metadata_of(kept | named), pre=told)


@pytest.fixture(scope="module")
def rebuilt() -> Tokenizer:
    return describe(BYTE_LEVEL).tokenizer()


@pytest.fixture(scope="module")
def published() -> Tokenizer:
    return Tokenizer.from_folder(EMBEDDED_MODEL)


@given(texts)
def test_ids_are_those_of_the_published_tokenizer(
    rebuilt: Tokenizer, published: Tokenizer, text: str
) -> None:
    tokens = rebuilt.encode(text)

    assert tokens == published.encode(text)
    assert rebuilt.decode(tokens) == published.decode(tokens)


def test_the_tokenizer_is_the_published_one_part_by_part(
    rebuilt: Tokenizer, published: Tokenizer
) -> None:
    ours, theirs = json.loads(rebuilt.to_json()), json.loads(published.to_json())

    for part in ("added_tokens", "normalizer", "pre_tokenizer", "decoder", "model"):
        assert ours[part] == theirs[part], part
    assert ours["post_processor"]["single"] == theirs["post_processor"]["single"]


def test_every_token_stands_for_the_same_bytes(rebuilt: Tokenizer, published: Tokenizer) -> None:
    assert rebuilt.vocab_size == published.vocab_size == 4096
    assert rebuilt.bos_tokens == published.bos_tokens == (4088,)
    for token in range(4096):
        assert rebuilt.token_bytes(token) == published.token_bytes(token)
        assert rebuilt.token_text(token) == published.token_text(token)


def test_special_tokens_in_the_midst_of_the_vocabulary_keep_their_ids() -> None:
    keys = dict(BYTE_LEVEL)
    for name, first in (("tokens", "<|first|>"), ("token_type", 3)):
        keys[f"tokenizer.ggml.{name}"] = [first, *keys[f"tokenizer.ggml.{name}"]]
    keys["tokenizer.ggml.bos_token_id"] = 4089
    tokenizer = describe(keys).tokenizer()

    assert tokenizer.encode("<|first|>Hi<|eot_id|>") == [4089, 0, *one_more("Hi"), 4096]


def one_more(text: str) -> list[int]:
    tokens = Tokenizer.from_folder(EMBEDDED_MODEL).encode(text, add_special_tokens=False)
    return [token + 1 for token in tokens]


@pytest.mark.parametrize("keys", [BYTE_LEVEL, PIECES])
def test_what_is_written_to_a_folder_is_the_same_tokenizer(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    described = describe(keys)
    described.write(tmp_path)
    text = "a Once</s> aa<|eot_id|>"

    assert Tokenizer.from_folder(tmp_path).digest() == described.tokenizer().digest()
    assert Tokenizer.from_folder(tmp_path).encode(text) == described.tokenizer().encode(text)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode(text).ids == described.tokenizer().encode(text)


def test_the_rest_is_written_in_the_words_of_a_config(tmp_path: Path) -> None:
    keys = BYTE_LEVEL | {"tokenizer.chat_template": "{{ messages }}"}
    describe(keys).write(tmp_path)

    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "bos_token": "<|begin_of_text|>",
        "eos_token": "<|end_of_text|>",
        "chat_template": "{{ messages }}",
    }


def test_all_ends_are_ends() -> None:
    end, eom, eot = 4089, 4094, 4095

    assert describe(BYTE_LEVEL).end_token_ids == {end, eom, eot}
    assert describe(BYTE_LEVEL, eot_token_id=4090).end_token_ids == {end, eom, eot, 4090}
    assert describe(PIECES).end_token_ids == {2}


def test_a_text_of_an_end_that_is_no_special_token_ends_nothing() -> None:
    kinds = list(BYTE_LEVEL["tokenizer.ggml.token_type"])
    kinds[4095] = 4

    assert 4095 not in describe(BYTE_LEVEL, token_type=kinds).end_token_ids


@pytest.mark.parametrize("architecture", ["bitnet-b1.58", "bitnet-25"])
def test_bitnet_files_that_do_not_name_their_cuts_are_of_llama_3s(
    rebuilt: Tokenizer, architecture: str
) -> None:
    keys = {**BYTE_LEVEL, "general.architecture": architecture}

    assert describe(keys, "pre").tokenizer().digest() == rebuilt.digest()


def test_other_files_that_do_not_name_their_cuts_are_refused_unless_told(
    rebuilt: Tokenizer,
) -> None:
    with pytest.raises(UnsupportedModel, match=r"tokenizer\.ggml\.pre is missing"):
        describe(BYTE_LEVEL, "pre")
    assert describe(BYTE_LEVEL, "pre", told="llama3").tokenizer().digest() == rebuilt.digest()


def test_what_the_file_says_of_its_cuts_counts_more_than_what_it_is_told(
    rebuilt: Tokenizer,
) -> None:
    assert describe(BYTE_LEVEL, told="gpt-2").tokenizer().digest() == rebuilt.digest()


@pytest.mark.parametrize(("pre", "adds_bos"), [("llama-bpe", True), ("gpt-2", False)])
def test_if_the_file_does_not_say_bos_follows_from_the_kind(pre: str, adds_bos: bool) -> None:
    keys = BYTE_LEVEL | {"tokenizer.ggml.pre": pre}

    assert describe(keys, "add_bos_token").tokenizer().bos_tokens == ((4088,) if adds_bos else ())


def test_eos_is_put_after_a_text_by_the_library_where_the_file_says_so(tmp_path: Path) -> None:
    describe(BYTE_LEVEL, add_eos_token=True).write(tmp_path)
    library = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))

    assert library.encode("Hi").ids[-1] == 4089


def test_a_template_renders_with_the_names_that_the_file_gives() -> None:
    described = describe(
        BYTE_LEVEL | {"tokenizer.chat_template": "{{ bos_token }}Hi{{ eos_token }}"}
    )
    tokenizer = described.tokenizer()
    source = described.chat_templates()["default"]
    template = ChatTemplate(source, tokenizer, described.special_texts)

    assert template.prompt([{"role": "user", "content": ""}]).tokens == (
        4088,
        *tokenizer.encode("Hi", add_special_tokens=False),
        4089,
    )


def test_named_templates_are_found_by_their_names() -> None:
    named = {
        "tokenizer.chat_templates": ["tool_use", "absent"],
        "tokenizer.chat_template.tool_use": "tools",
        "tokenizer.chat_template": "plain",
    }
    described = describe(BYTE_LEVEL | named)

    assert described.chat_templates() == {"tool_use": "tools", "default": "plain"}
    assert described.config()["chat_template"] == [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "plain"},
    ]


def test_a_template_that_no_model_was_trained_with_is_left_out() -> None:
    wrong = "{% for m in messages %}{{ 'Human: ' + m.content + 'BITNETAssistant: ' }}{% endfor %}"

    described = describe(BYTE_LEVEL | {"tokenizer.chat_template": wrong})

    assert described.chat_templates() == {}
    assert "chat_template" not in described.config()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"model": "bert"}, r"tokenizer\.ggml\.model is bert; supported are gpt2"),
        ({"pre": "bloom"}, "pre is bloom, which is not supported"),
    ],
)
def test_another_kind_of_tokenizer_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedModel, match=message):
        describe(BYTE_LEVEL, **keys)


@pytest.mark.parametrize(
    ("left_out", "more", "message"),
    [
        (("model",), {}, r"tokenizer\.ggml\.model is missing"),
        (("merges",), {}, r"merges must be an array"),
        ((), {"add_bos_token": 1}, "add_bos_token must be true or false; found 1"),
        (("bos_token_id",), {}, "add_bos_token is true, but no bos token is named"),
    ],
)
def test_a_damaged_description_is_refused(
    left_out: tuple[str, ...], more: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        describe(BYTE_LEVEL, *left_out, **more)
