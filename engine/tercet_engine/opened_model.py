"""A model on disk, opened: a folder in the Hugging Face layout or of ours, or one GGUF file."""

import logging
from dataclasses import dataclass
from pathlib import Path

from tercet_engine.chat_template import ChatTemplate
from tercet_engine.checkpoint import Checkpoint
from tercet_engine.completion import GenerationDefaults
from tercet_engine.errors import CheckpointError
from tercet_engine.gguf import is_gguf
from tercet_engine.gguf_checkpoint import GgufCheckpoint
from tercet_engine.gguf_files import GgufFiles
from tercet_engine.model_files import ModelFiles
from tercet_engine.packed.checkpoint import PackedCheckpoint
from tercet_engine.packed.format import is_packed
from tercet_engine.tokenizer import Tokenizer

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """Everything of a model but its computed form.

    Attributes:
        checkpoint: its tensors.
        tokenizer: texts to tokens and back.
        chat_template: how chats look; None: it is a base model.
        stop_token_ids: tokens that end an answer.
        generation_defaults: what its authors recommend.
        overrides: what its files leave out or get wrong and was put right, in words.
    """

    checkpoint: Checkpoint | GgufCheckpoint | PackedCheckpoint
    tokenizer: Tokenizer
    chat_template: ChatTemplate | None
    stop_token_ids: frozenset[int]
    generation_defaults: GenerationDefaults
    overrides: tuple[str, ...] = ()


def open_checkpoint(path: Path) -> Checkpoint | GgufCheckpoint | PackedCheckpoint:
    """Open a model's tensors: headers are read and checked, weights are not.

    Raises:
        LoadError: something is missing, damaged or unknown; the message names it.
    """
    if is_gguf(path):
        return GgufCheckpoint(path)
    return PackedCheckpoint(path) if is_packed(path) else Checkpoint(path)


def open_model(path: Path) -> OpenedModel:
    """Open a model with its tokenizer and templates.

    Raises:
        LoadError: something is missing, damaged or unknown; the message names it.
    """
    checkpoint = open_checkpoint(path)
    files: GgufFiles | ModelFiles
    if isinstance(checkpoint, GgufCheckpoint):
        files = GgufFiles(checkpoint.file.config)
        tokenizer = files.tokenizer()
        overrides = (*checkpoint.overrides, *files.overrides)
    else:
        files = ModelFiles(path, checkpoint.config)
        tokenizer = Tokenizer.from_folder(path)
        overrides = checkpoint.overrides if isinstance(checkpoint, PackedCheckpoint) else ()
    vocab_size = checkpoint.shape.vocab_size
    if tokenizer.vocab_size > vocab_size:
        message = (
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocab_size}"
        )
        raise CheckpointError(message)
    for override in overrides:
        _logger.warning("%s: put right: %s", path.name, override)
    return OpenedModel(
        checkpoint=checkpoint,
        tokenizer=tokenizer,
        chat_template=files.chat_template(tokenizer, checkpoint.default_template),
        stop_token_ids=files.stop_token_ids(tokenizer, vocab_size),
        generation_defaults=files.generation_defaults(),
        overrides=overrides,
    )
