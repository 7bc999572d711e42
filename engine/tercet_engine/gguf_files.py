"""What a GGUF file says of text: its tokenizer, how answers end, how chats look."""

from typing import Final

from tercet_engine.chat_template import ChatTemplate
from tercet_engine.completion import GenerationDefaults
from tercet_engine.errors import CheckpointError
from tercet_engine.gguf import GgufTokenizer, Metadata
from tercet_engine.tokenizer import Tokenizer

_SAMPLING: Final = "general.sampling"


class GgufFiles:
    """The counterpart of `ModelFiles`, with the tokenizer, of one file's keys.

    Attributes:
        overrides: what of the file is not believed, or filled in, in words.

    Raises:
        CheckpointError: the file contradicts itself.
        UnsupportedModel: its tokenizer is of a kind that is not known.
    """

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self.source = GgufTokenizer(metadata)
        self.overrides = tuple(self._overrides())

    def tokenizer(self) -> Tokenizer:
        """Build the tokenizer."""
        return self.source.tokenizer()

    def stop_token_ids(self, tokenizer: Tokenizer, vocab_size: int) -> frozenset[int]:  # noqa: ARG002
        """Every token that ends an answer: those the file names, and the ends of its turns."""
        ends = self.source.end_token_ids
        if any(token >= vocab_size for token in ends):
            message = f"{self._metadata.name}: an end token is not below {vocab_size}"
            raise CheckpointError(message)
        return ends

    def chat_template(self, tokenizer: Tokenizer, default: str | None) -> ChatTemplate | None:
        """The file's template, else the family's, else none."""
        source = self.source.chat_templates().get("default", default)
        special_texts = self.source.special_texts
        return None if source is None else ChatTemplate(source, tokenizer, special_texts)

    def generation_defaults(self) -> GenerationDefaults:
        """What the authors recommend, where the file tells it."""
        metadata = self._metadata

        def is_told(name: str) -> bool:
            return f"{_SAMPLING}.{name}" in metadata.values

        return GenerationDefaults(
            temperature=metadata.number(f"{_SAMPLING}.temp", 0, 2) if is_told("temp") else None,
            top_p=metadata.number(f"{_SAMPLING}.top_p", 1e-6, 1) if is_told("top_p") else None,
            top_k=metadata.integer(f"{_SAMPLING}.top_k", 0, 1 << 30) if is_told("top_k") else None,
        )

    def _overrides(self) -> list[str]:
        values = self._metadata.values
        found = []
        if values.get("tokenizer.ggml.model") == "gpt2" and "tokenizer.ggml.pre" not in values:
            found.append("pre-tokenizer: llama-bpe, which the file does not name")
        has_template = isinstance(values.get("tokenizer.chat_template"), str)
        if has_template and "default" not in self.source.chat_templates():
            found.append("chat template: the model's own, as the file's is known to be wrong")
        eos = values.get("tokenizer.ggml.eos_token_id")
        if more := sorted(self.source.end_token_ids - {eos}):
            found.append(f"stop tokens: {', '.join(map(str, more))} beside the file's {eos}")
        return found
