"""What an inspection found, as facts for people and machines; anything may be unknown."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from tercet_engine.errors import CheckpointError, LoadError, OutOfMemory, UnsupportedModel
from tercet_engine.model_shape import ModelShape


class Verdict(StrEnum):
    """Whether a model can be served here; if not, why in a word."""

    SERVABLE = "yes"
    NOT_TERNARY = "not ternary"
    UNSUPPORTED = "unsupported"
    INCOMPLETE = "incomplete"
    DAMAGED = "damaged"
    TOO_LARGE = "too large"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file that holds weights."""

    name: str
    num_bytes: int


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """A tokenizer.

    Attributes:
        kind: "BPE" and the like.
        num_tokens: ids are below it.
        begins_with: texts of the tokens that it puts before every text.
    """

    kind: str
    num_tokens: int
    begins_with: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemoryFacts:
    """What serving would take, in bytes; `plan` is None where it does not fit.

    Attributes:
        context: tokens of prompt and answer together.
        weight_bytes: packed weights, at most.
        kv_bytes_per_token: keys and values of one token.
        kv_cache_bytes: of one sequence of the whole context.
        workspace_bytes: buffers of one batch.
        usable_bytes: what this process may use.
        largest_context: tokens of the longest context that fits; 0: none does.
    """

    context: int
    weight_bytes: int
    kv_bytes_per_token: int
    kv_cache_bytes: int
    workspace_bytes: int
    usable_bytes: int
    largest_context: int


@dataclass(slots=True)
class ModelReport:
    """A model, as far as it could be read; filled in the order of the fields.

    Attributes:
        name: to serve it under.
        path: its folder, or its one file.
        format: "safetensors", "gguf" or "".
        architecture: as its own files call it.
        files: those that hold weights.
        shape: what it computes.
        weights: how its matrices are stored, in words.
        grid: what shares a scale, in words.
        activations: in what form matrices meet them, in words.
        tokenizer: its own.
        chat_template: where it comes from, in words.
        stop_tokens: texts and ids of the tokens that end an answer.
        overrides: what its files leave out or get wrong and is put right, in words.
        memory: what serving takes.
        verdict: whether it can be served here.
        reason: why not, in a sentence.
    """

    name: str
    path: Path
    format: str = ""
    architecture: str | None = None
    files: tuple[WeightFile, ...] = ()
    shape: ModelShape | None = None
    weights: str | None = None
    grid: str | None = None
    activations: str | None = None
    tokenizer: TokenizerFacts | None = None
    chat_template: str | None = None
    stop_tokens: tuple[tuple[str, int], ...] = field(default=())
    overrides: tuple[str, ...] = ()
    memory: MemoryFacts | None = None
    verdict: Verdict = Verdict.SERVABLE
    reason: str | None = None

    @property
    def num_bytes(self) -> int:
        """Size of all files of weights."""
        return sum(file.num_bytes for file in self.files)

    def refuse(self, verdict: Verdict, reason: str) -> None:
        """Note why it cannot be served; the first reason stays."""
        if self.verdict is Verdict.SERVABLE:
            self.verdict, self.reason = verdict, reason

    def refuse_for(self, error: LoadError) -> None:
        """The same for an error, whose kind tells the verdict."""
        kinds = {
            CheckpointError: Verdict.DAMAGED,
            UnsupportedModel: Verdict.UNSUPPORTED,
            OutOfMemory: Verdict.TOO_LARGE,
        }
        self.refuse(kinds.get(type(error), Verdict.UNSUPPORTED), str(error))
