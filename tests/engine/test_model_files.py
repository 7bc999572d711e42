import json
from pathlib import Path
from typing import Any

import pytest

from tercet_engine import EMBEDDED_MODEL, CheckpointError, GenerationDefaults, Tokenizer
from tercet_engine.chat_template import BITNET_TEMPLATE
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.model_files import ModelFiles

EOT, EOS = 4095, 4089


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_folder(EMBEDDED_MODEL)


def files(folder: Path, config: dict[str, Any] | None = None, **contents: Any) -> ModelFiles:
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return ModelFiles(folder, ConfigFile(config or {}, "config.json"))


def test_the_ends_that_any_file_names_are_all_ends(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = files(
        tmp_path,
        {"eos_token_id": 5},
        generation_config={"eos_token_id": [6, 7]},
        tokenizer_config={"eos_token": "<|eot_id|>"},
    )

    assert found.stop_token_ids(tokenizer, 4096) == {5, 6, 7, EOT}


def test_a_special_token_may_be_spelt_as_an_object(tmp_path: Path, tokenizer: Tokenizer) -> None:
    found = files(tmp_path, tokenizer_config={"eos_token": {"content": "<|end_of_text|>"}})

    assert found.stop_token_ids(tokenizer, 4096) == {EOS}


def test_without_files_there_are_no_ends_no_advice_and_no_template(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    found = files(tmp_path)

    assert found.stop_token_ids(tokenizer, 4096) == frozenset()
    assert found.generation_defaults() == GenerationDefaults()
    assert found.chat_template(tokenizer, default=None) is None


@pytest.mark.parametrize("eos", ["</s>", [1, "2"], -1, 1.5, 4096])
def test_an_end_that_is_no_token_id_is_refused(
    tmp_path: Path, tokenizer: Tokenizer, eos: object
) -> None:
    with pytest.raises(CheckpointError, match="eos_token_id must be a token id from 0 to 4095"):
        files(tmp_path, {"eos_token_id": eos}).stop_token_ids(tokenizer, 4096)


@pytest.mark.parametrize(
    ("advice", "defaults"),
    [
        ({"temperature": 0.6, "top_p": 0.9}, GenerationDefaults(0.6, 0.9, None)),
        ({"do_sample": True, "top_k": 50, "top_p": None}, GenerationDefaults(None, None, 50)),
        ({"do_sample": False, "temperature": 0.6}, GenerationDefaults(temperature=0.0)),
    ],
)
def test_the_authors_advice_is_read(
    tmp_path: Path, advice: dict[str, object], defaults: GenerationDefaults
) -> None:
    assert files(tmp_path, generation_config=advice).generation_defaults() == defaults


def prompt_of(found: ModelFiles, tokenizer: Tokenizer, default: str | None = None) -> str:
    template = found.chat_template(tokenizer, default)
    assert template is not None
    return tokenizer.decode(template.prompt([{"role": "user", "content": "Hi"}]).tokens)


def test_the_checkpoints_own_template_comes_before_the_familys(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    found = files(tmp_path, tokenizer_config={"chat_template": "own"})

    assert prompt_of(found, tokenizer, BITNET_TEMPLATE) == "own"


def test_the_familys_template_serves_where_the_checkpoint_has_none(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    assert prompt_of(files(tmp_path), tokenizer, BITNET_TEMPLATE) == "User: HiAssistant: "


def test_a_template_in_a_file_of_its_own_comes_first(tmp_path: Path, tokenizer: Tokenizer) -> None:
    (tmp_path / "chat_template.jinja").write_text("from a file")
    found = files(tmp_path, tokenizer_config={"chat_template": "own"})

    assert prompt_of(found, tokenizer) == "from a file"


def test_of_several_templates_the_default_is_taken(tmp_path: Path, tokenizer: Tokenizer) -> None:
    named = [{"name": "rag", "template": "no"}, {"name": "default", "template": "yes"}]

    assert prompt_of(files(tmp_path, tokenizer_config={"chat_template": named}), tokenizer) == "yes"


@pytest.mark.parametrize("found", [5, [{"name": "rag", "template": "x"}], ["x"]])
def test_templates_without_a_default_are_refused(
    tmp_path: Path, tokenizer: Tokenizer, found: object
) -> None:
    with pytest.raises(CheckpointError, match='one named "default"'):
        files(tmp_path, tokenizer_config={"chat_template": found}).chat_template(tokenizer, None)


def test_a_template_may_refer_to_the_special_tokens(tmp_path: Path, tokenizer: Tokenizer) -> None:
    config = {"chat_template": "{{ eos_token }}a", "eos_token": "<|end_of_text|>"}
    template = files(tmp_path, tokenizer_config=config).chat_template(tokenizer, None)
    assert template is not None

    assert EOS in template.prompt([]).tokens
