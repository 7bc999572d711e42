"""The letters that pass between a caller and the engine: what is asked, and what comes back."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tercet_engine.grammar import Grammar
from tercet_engine.sampling_params import SamplingParams


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    """The model ended it, or a stop string or stop token did."""
    LENGTH = "length"
    """`max_tokens`, or the context, is used up."""
    ABORT = "abort"
    """Whoever asked for it has left."""


class Pooling(StrEnum):
    """What becomes of a prompt's hidden states, the last layer's after its norm."""

    MEAN = "mean"
    LAST = "last"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One sequence to generate.

    Attributes:
        prompt_tokens: the prompt, with its BOS token if the model wants one.
        params: how to draw from the model.
        choice: index within the client's request; part of the random key, so that the `n` choices
            of one request differ although they share prompt and seed.
        strip_leading_space: drop one space at the very beginning of the text; for prompts that end
            in a bare space token (see `ChatPrompt`).
        grammar: what the completion must obey, to its end or to where `max_tokens` cuts it.
        priority: lower ones are admitted first; 0 is the ordinary one.
        shown_tokens: special tokens that the text is to show, as marks that mean something to
            whoever reads it; of others it shows nothing.
        cache_salt: the prompt's blocks are shared only with requests of the same salt.
        pooling: the stream's `embedding` is wanted, and no token: `max_tokens` is 0.
    """

    prompt_tokens: Sequence[int]
    params: SamplingParams
    choice: int = 0
    strip_leading_space: bool = False
    grammar: Grammar | None = None
    priority: int = 0
    cache_salt: str = ""
    shown_tokens: frozenset[int] = frozenset()
    pooling: Pooling | None = None


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """How likely the model found a token, and what it found likelier.

    Attributes:
        token: which one.
        logprob: natural logarithm of its probability.
        top: the likeliest tokens and theirs, in descending order. If `token` is among them, its
            entry is the very same number.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class CompletionDelta:
    """What was generated since the delta before.

    Attributes:
        text: may be empty while a character or a possible stop string is incomplete.
        token_ids: every token generated, end tokens included.
        finish_reason: None in every delta but the last.
        logprobs: one for each of `token_ids` if `SamplingParams.logprobs` asked for them.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason | None
    logprobs: tuple[TokenLogprobs, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationDefaults:
    """Sampling values that the model's authors recommend; None where they are silent."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What is being served. Constant for the life of the engine.

    Attributes:
        model_id: the name to serve it under.
        created: seconds since the epoch when the model was loaded.
        fingerprint: "tc-" and 16 hex digits; changes whenever the model, its tokenizer,
            template or defaults, or the arithmetic do.
        max_context_tokens: prompt and answer together.
        vocab_size: token ids are below it.
        hidden_size: numbers in an embedding.
        kernels: the kernel set in use.
        packing: how it keeps ternary weights.
        num_threads: worker threads in use.
        stop_token_ids: the tokens with which the model ends an answer.
        generation_defaults: what the model's authors recommend.
        weight_bytes: packed weights held in memory.
        decode_bytes: bytes of weights read to compute one token.
        kv_cache_bytes: size of the KV cache.
        workspace_bytes: planned for the buffers of a forward pass.
    """

    model_id: str
    created: int
    fingerprint: str
    max_context_tokens: int
    vocab_size: int
    hidden_size: int
    kernels: str
    packing: str
    num_threads: int
    stop_token_ids: frozenset[int] = frozenset()
    generation_defaults: GenerationDefaults = GenerationDefaults()
    weight_bytes: int = 0
    decode_bytes: int = 0
    kv_cache_bytes: int = 0
    workspace_bytes: int = 0
