"""Tercet's engine: tokens in, tokens and text out. Knows no HTTP and no JSON.

These names are all that a server needs. `load_engine` makes an `AsyncEngine` out of a model; the
engine computes on a thread of its own and hands each completion to the event loop as a stream.
"""

from tercet_engine.async_engine import AsyncEngine
from tercet_engine.chat_template import ChatPrompt, ChatTemplate
from tercet_engine.completion import (
    CompletionDelta,
    CompletionRequest,
    EngineInfo,
    FinishReason,
    GenerationDefaults,
    Pooling,
    TokenLogprobs,
)
from tercet_engine.completion_stream import CompletionStream
from tercet_engine.config import (
    AUTO_PACKING,
    BLOCK_SIZE,
    Activations,
    EngineConfig,
    Head,
    KvType,
    Speculation,
)
from tercet_engine.errors import (
    CheckpointError,
    EngineDead,
    EngineDraining,
    EngineError,
    EngineOverloaded,
    FetchFailed,
    GrammarFailed,
    InvalidConfig,
    InvalidGrammar,
    InvalidSamplingParams,
    InvalidToken,
    KernelUnavailable,
    LoadError,
    ModelNotFound,
    OutOfMemory,
    PromptEmpty,
    PromptTooLong,
    RequestError,
    SelfTestFailed,
    TemplateError,
    TooManyChoices,
    UnsupportedModel,
    WaitedTooLong,
)
from tercet_engine.grammar import Grammar, GrammarKind, GrammarSpec
from tercet_engine.histogram import HistogramCounts
from tercet_engine.hub import (
    EMBEDDED_MODEL,
    FetchListener,
    ModelFolder,
    PlannedFile,
    SilentFetch,
    find_model,
)
from tercet_engine.loading import (
    load_engine,
    load_synthetic_engine,
    measure_bandwidth,
    supported_kernels,
    tell_of_lost_pages,
)
from tercet_engine.loading_together import ProgressOf, load_engines
from tercet_engine.progress import ProgressListener, Silent
from tercet_engine.sampling_params import (
    GREEDY_TEMPERATURE,
    MAX_LOGIT_BIASES,
    MAX_LOGPROBS,
    MAX_SEED,
    MAX_STOP_CHARS,
    MAX_STOP_STRINGS,
    MAX_STOP_TOKEN_IDS,
    SamplingParams,
)
from tercet_engine.schema_rule import json_rule
from tercet_engine.stats import EngineStats
from tercet_engine.synthetic import SHAPES as SYNTHETIC_SHAPES
from tercet_engine.tokenizer import Tokenizer

__all__ = [
    "AUTO_PACKING",
    "BLOCK_SIZE",
    "EMBEDDED_MODEL",
    "GREEDY_TEMPERATURE",
    "MAX_LOGIT_BIASES",
    "MAX_LOGPROBS",
    "MAX_SEED",
    "MAX_STOP_CHARS",
    "MAX_STOP_STRINGS",
    "MAX_STOP_TOKEN_IDS",
    "SYNTHETIC_SHAPES",
    "Activations",
    "AsyncEngine",
    "ChatPrompt",
    "ChatTemplate",
    "CheckpointError",
    "CompletionDelta",
    "CompletionRequest",
    "CompletionStream",
    "EngineConfig",
    "EngineDead",
    "EngineDraining",
    "EngineError",
    "EngineInfo",
    "EngineOverloaded",
    "EngineStats",
    "FetchFailed",
    "FetchListener",
    "FinishReason",
    "GenerationDefaults",
    "Grammar",
    "GrammarFailed",
    "GrammarKind",
    "GrammarSpec",
    "Head",
    "HistogramCounts",
    "InvalidConfig",
    "InvalidGrammar",
    "InvalidSamplingParams",
    "InvalidToken",
    "KernelUnavailable",
    "KvType",
    "LoadError",
    "ModelFolder",
    "ModelNotFound",
    "OutOfMemory",
    "PlannedFile",
    "Pooling",
    "ProgressListener",
    "ProgressOf",
    "PromptEmpty",
    "PromptTooLong",
    "RequestError",
    "SamplingParams",
    "SelfTestFailed",
    "Silent",
    "SilentFetch",
    "Speculation",
    "TemplateError",
    "TokenLogprobs",
    "Tokenizer",
    "TooManyChoices",
    "UnsupportedModel",
    "WaitedTooLong",
    "find_model",
    "json_rule",
    "load_engine",
    "load_engines",
    "load_synthetic_engine",
    "measure_bandwidth",
    "supported_kernels",
    "tell_of_lost_pages",
]
