"""The small files beside the weights: how answers end, how chats look, what the authors advise."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tercet_engine.chat_template import MAX_TEMPLATE_CHARS, ChatTemplate
from tercet_engine.completion import GenerationDefaults
from tercet_engine.errors import CheckpointError
from tercet_engine.model_config_file import ConfigFile
from tercet_engine.tokenizer import Tokenizer


class ModelFiles:
    """What `generation_config.json`, `tokenizer_config.json` and `chat_template.jinja` say.

    Raises:
        CheckpointError: one of them is damaged. None of them must be there.
    """

    def __init__(self, folder: Path, config: ConfigFile) -> None:
        self._folder = folder
        self._config = config
        self._generation = ConfigFile.read(folder / "generation_config.json", optional=True)
        self._tokenizer = ConfigFile.read(folder / "tokenizer_config.json", optional=True)

    def stop_token_ids(self, tokenizer: Tokenizer, vocab_size: int) -> frozenset[int]:
        """All tokens that some file calls an end: the files often disagree, and all are meant."""
        ends: set[int] = set()
        for file in (self._config, self._generation):
            found = file.values.get("eos_token_id")
            ids = found if isinstance(found, list) else [] if found is None else [found]
            if not all(type(token) is int and 0 <= token < vocab_size for token in ids):
                rule = f"a token id from 0 to {vocab_size - 1}, or a list of them"
                raise file.error("eos_token_id", rule)
            ends.update(ids)
        eos_text = self._special_texts().get("eos_token")
        eos = None if eos_text is None else tokenizer.token_id(eos_text)
        return frozenset(ends if eos is None else ends | {eos})

    def chat_template(self, tokenizer: Tokenizer, default: str | None) -> ChatTemplate | None:
        """The checkpoint's template, else the family's, else none."""
        source = self._template_source()
        source = default if source is None else source
        return None if source is None else ChatTemplate(source, tokenizer, self._special_texts())

    def generation_defaults(self) -> GenerationDefaults:
        """What the authors recommend. `do_sample: false` means to take the likeliest token."""
        file = self._generation
        if not file.flag("do_sample", default=True):
            return GenerationDefaults(temperature=0.0)
        given = {name for name, value in file.values.items() if value is not None}
        return GenerationDefaults(
            temperature=file.number("temperature", 0, 2) if "temperature" in given else None,
            top_p=file.number("top_p", 1e-6, 1) if "top_p" in given else None,
            top_k=file.integer("top_k", 0, 1 << 30) if "top_k" in given else None,
        )

    def _special_texts(self) -> Mapping[str, str]:
        """Texts by name, "bos_token" and the like; each is a string or an object with one."""
        texts = {}
        for name, value in self._tokenizer.values.items():
            text = value.get("content") if isinstance(value, dict) else value
            if name.endswith("_token") and isinstance(text, str):
                texts[name] = text
        return texts

    def _template_source(self) -> str | None:
        path = self._folder / "chat_template.jinja"
        try:
            return self._read_template(path)
        except OSError as error:
            message = f"{path} cannot be read: {error.strerror}"
            raise CheckpointError(message) from error

    def _read_template(self, path: Path) -> str | None:
        if path.exists():
            if path.stat().st_size > 4 * MAX_TEMPLATE_CHARS:
                message = f"{path} is too large; at most {MAX_TEMPLATE_CHARS} characters are read"
                raise CheckpointError(message)
            return path.read_text("utf-8", "replace")
        return self._named_template(self._tokenizer.values.get("chat_template"))

    def _named_template(self, found: Any) -> str | None:
        """One template, or the one called "default" of a list of named ones."""
        match found:
            case None | str():
                return found
            case list() if all(isinstance(item, dict) for item in found):
                named = [item.get("template") for item in found if item.get("name") == "default"]
                if named and isinstance(named[-1], str):
                    return named[-1]
        raise self._tokenizer.error("chat_template", 'a string, or a list with one named "default"')
