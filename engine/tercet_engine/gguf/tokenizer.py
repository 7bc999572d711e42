"""The tokenizer that a GGUF file describes, in the form in which models are published.

A file holds tokens, merges or scores, and the name of a way to cut text. From these the same
`tokenizer.json` is made that the model's authors publish beside safetensors, so that everything
above sees one kind of tokenizer.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import tokenizers

from tercet_engine.errors import CheckpointError, UnsupportedModel
from tercet_engine.gguf.byte_pairs import byte_pairs_json
from tercet_engine.gguf.cursor import shown
from tercet_engine.gguf.metadata import Metadata
from tercet_engine.gguf.pre_tokenizers import find_pre_tokenizer
from tercet_engine.gguf.sentence_pieces import sentence_pieces_json
from tercet_engine.gguf.vocabulary import Vocabulary, read_vocabulary
from tercet_engine.tokenizer import Tokenizer, library_errors

_PREFIX: Final = "tokenizer.ggml"
_TEMPLATE: Final = "tokenizer.chat_template"
_PRE_OF_ARCHITECTURE: Final = {"bitnet-b1.58": "llama-bpe", "bitnet-25": "llama-bpe"}
"""Their published files leave `tokenizer.ggml.pre` out."""
_WRONG_TEMPLATE: Final = "BITNETAssistant: "
"""In the template that a converter writes into all BitNet models; none was trained with it."""
_TURN_ENDS: Final = (
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<end_of_turn>",
)
"""Special tokens that end a turn under every model that has them. Files often name only one end."""


class GgufTokenizer:
    """All that a file says of text.

    Args:
        metadata: the file's keys.
        pre: the way to cut text if the file names none.

    Raises:
        CheckpointError: the file contradicts itself.
        UnsupportedModel: its tokenizer is of a kind that is not known.
    """

    def __init__(self, metadata: Metadata, *, pre: str | None = None) -> None:
        self._metadata = metadata
        model = metadata.text(f"{_PREFIX}.model")
        if model not in {"gpt2", "llama"}:
            message = (
                f"{metadata.name}: tokenizer.ggml.model is {shown(model)}; supported are gpt2 "
                "(byte-level) and llama (SentencePiece)"
            )
            raise UnsupportedModel(message)
        self._vocabulary = read_vocabulary(metadata, is_sentence_piece=model == "llama")
        if model == "llama":
            self._adds_bos = self._flag("add_bos_token", default=True)
            parts = sentence_pieces_json(self._vocabulary, metadata)
        else:
            name = metadata.text(f"{_PREFIX}.pre", self._default_pre(pre))
            pre_tokenizer = find_pre_tokenizer(name, metadata.name)
            self._adds_bos = self._flag("add_bos_token", default=pre_tokenizer.adds_bos)
            parts = byte_pairs_json(self._vocabulary, metadata, pre_tokenizer)
        self._adds_eos = self._flag("add_eos_token", default=False)
        self._json = json.dumps(
            {
                "version": "1.0",
                "truncation": None,
                "padding": None,
                "added_tokens": _added_tokens(self._vocabulary),
                "post_processor": self._post_processor(),
                **parts,
            },
            ensure_ascii=False,
        )

    def tokenizer(self) -> Tokenizer:
        """Build the tokenizer.

        Raises:
            CheckpointError: the library refuses it.
        """
        with library_errors(f"{self._metadata.name} holds no working tokenizer"):
            return Tokenizer(tokenizers.Tokenizer.from_str(self._json))

    @property
    def end_token_ids(self) -> frozenset[int]:
        """Every token that ends an answer."""
        vocabulary = self._vocabulary
        named = {
            vocabulary.parts[part] for part in ("eos", "eot", "eom") if part in vocabulary.parts
        }
        ends = frozenset(_TURN_ENDS)
        return frozenset(named).union(
            token
            for token, text in enumerate(vocabulary.texts)
            if text in ends and vocabulary.is_special(token)
        )

    @property
    def special_texts(self) -> Mapping[str, str]:
        """Texts by the names that chat templates use: "bos_token" and the like."""
        return {
            f"{part}_token": self._vocabulary.texts[token]
            for part, token in self._vocabulary.parts.items()
        }

    def chat_templates(self) -> Mapping[str, str]:
        """Templates by name, the usual one as "default"; those known to be wrong are left out."""
        names = self._metadata.strings("tokenizer.chat_templates") or ()
        keys = {name: f"{_TEMPLATE}.{name}" for name in names} | {"default": _TEMPLATE}
        found = {
            name: self._metadata.text(key)
            for name, key in keys.items()
            if key in self._metadata.values
        }
        return {name: text for name, text in found.items() if _WRONG_TEMPLATE not in text}

    def config(self) -> dict[str, Any]:
        """Say the rest in the words of a `tokenizer_config.json`."""
        templates = self.chat_templates()
        listed = [{"name": name, "template": text} for name, text in templates.items()]
        template = templates["default"] if list(templates) == ["default"] else listed or None
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "add_bos_token": self._adds_bos,
            "add_eos_token": self._adds_eos,
            "clean_up_tokenization_spaces": False,
            **self.special_texts,
            **({} if template is None else {"chat_template": template}),
        }

    def write(self, folder: Path) -> None:
        """Write `tokenizer.json` and `tokenizer_config.json`."""
        (folder / "tokenizer.json").write_text(self._json, "utf-8")
        config = json.dumps(self.config(), indent=2, ensure_ascii=False)
        (folder / "tokenizer_config.json").write_text(f"{config}\n", "utf-8")

    def _default_pre(self, pre: str | None) -> Any:
        architecture = self._metadata.values.get("general.architecture")
        known = _PRE_OF_ARCHITECTURE.get(architecture) if isinstance(architecture, str) else None
        if pre is None and known is None and f"{_PREFIX}.pre" not in self._metadata.values:
            message = (
                f"{self._metadata.name}: tokenizer.ggml.pre is missing, so how the model cuts text "
                "is not known; convert the model anew"
            )
            raise UnsupportedModel(message)
        return pre or known

    def _flag(self, key: str, *, default: bool) -> bool:
        """Whether BOS or EOS is put around a text; only what the file names can be."""
        part = key.split("_")[1]
        asked = self._metadata.flag(f"{_PREFIX}.{key}", default=default)
        has_part = part in self._vocabulary.parts
        if asked and not has_part and f"{_PREFIX}.{key}" in self._metadata.values:
            message = (
                f"{self._metadata.name}: {_PREFIX}.{key} is true, but no {part} token is named"
            )
            raise CheckpointError(message)
        return asked and has_part

    def _post_processor(self) -> dict[str, Any] | None:
        before = [self._special_text("bos")] if self._adds_bos else []
        after = [self._special_text("eos")] if self._adds_eos else []
        if not before and not after:
            return None

        def around(sequence: str, type_id: int) -> list[dict[str, Any]]:
            return [
                *({"SpecialToken": {"id": text, "type_id": type_id}} for text in before),
                {"Sequence": {"id": sequence, "type_id": type_id}},
                *({"SpecialToken": {"id": text, "type_id": type_id}} for text in after),
            ]

        ids = {text: token for token, text in enumerate(self._vocabulary.texts)}
        return {
            "type": "TemplateProcessing",
            "single": around("A", 0),
            "pair": [*around("A", 0), *around("B", 1)],
            "special_tokens": {
                text: {"id": text, "ids": [ids[text]], "tokens": [text]} for text in before + after
            },
        }

    def _special_text(self, part: str) -> str:
        return self._vocabulary.texts[self._vocabulary.parts[part]]


def _added_tokens(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    return [
        {
            "id": token,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": vocabulary.is_special(token),
        }
        for token, text in enumerate(vocabulary.texts)
        if vocabulary.is_added(token)
    ]
