"""What the completion endpoints share: the base of every request, sampling fields, usage.

Requests are read strictly: a number is a number, never a string that looks like one. Fields that
OpenAI allows to be null are null-able here. Every list, string and number has a bound. Unknown
fields are kept by name only so that the server can log them; see `ignored_fields`.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from tercet_server.protocol.base import (
    MAX_NAME_CHARS,
    RequestModel,
    ResponseModel,
    refuse,
)
from tercet_server.protocol.structured import (
    STRUCTURE_FIELDS,
    Choices,
    ResponseFormat,
    SchemaOrText,
    Structure,
    StructuredOutputs,
    Text,
    find_structure,
)
from tercet_server.protocol.unsupported import find_unsupported

__all__ = ["MAX_NAME_CHARS", "RequestModel", "ResponseModel", "refuse"]

MAX_CHOICES: Final = 16
MAX_SEQUENCES: Final = 128
"""Choices times prompts of one request."""
MAX_STOP_STRINGS: Final = 4
MAX_STOP_CHARS: Final = 256
MAX_STOP_TOKEN_IDS: Final = 64
MAX_LOGIT_BIASES: Final = 1024
MAX_METADATA_PAIRS: Final = 16
MAX_LOGPROBS: Final = 20
MAX_SALT_CHARS: Final = 256
MAX_TOKEN_ID: Final = 2**31 - 1
MIN_SEED: Final = -(2**63)
MAX_SEED: Final = 2**64 - 1

TokenId = Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]


class StreamOptions(RequestModel):
    """How a stream is told."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    """With `include_usage`: tell it in every chunk, as far as it has come."""


def _as_stop_strings(value: object) -> object:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list):
        return tuple(value)
    raise PydanticCustomError("stop_type", "must be a string, or a list of strings")


def _as_biases(value: Mapping[str, float] | None) -> Mapping[str, float] | None:
    for key in value or {}:
        if not (key.isascii() and key.isdigit() and len(key) <= 10 and int(key) <= MAX_TOKEN_ID):
            raise PydanticCustomError(
                "logit_bias_key", "must have token ids as its keys; got '{key}'", {"key": key[:40]}
            )
    return value


def _at_most(limit: int) -> BeforeValidator:
    """Count an object's entries before any is looked at: each that is wrong costs time."""

    def check(value: object) -> object:
        if isinstance(value, dict) and len(value) > limit:
            words = "must have at most {max_length} entries"
            raise PydanticCustomError("too_long", words, {"max_length": limit})
        return value

    return BeforeValidator(check)


_STOP_STRING: Final = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARS}
StopStrings = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)], ...],
    Field(max_length=MAX_STOP_STRINGS, fail_fast=True),
    BeforeValidator(_as_stop_strings),
    WithJsonSchema(
        {
            "anyOf": [
                _STOP_STRING,
                {"type": "array", "items": _STOP_STRING, "maxItems": MAX_STOP_STRINGS},
                {"type": "null"},
            ]
        }
    ),
]
LogitBias = Annotated[
    dict[str, Annotated[float, Field(ge=-100, le=100)]],
    _at_most(MAX_LOGIT_BIASES),
    AfterValidator(_as_biases),
]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    _at_most(MAX_METADATA_PAIRS),
]


class GenerationRequest(RequestModel):
    """The fields that chat and plain completions have in common."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=MIN_SEED, le=MAX_SEED)] | None = None
    stop: StopStrings = ()
    stop_token_ids: (
        Annotated[tuple[TokenId, ...], Field(max_length=MAX_STOP_TOKEN_IDS, fail_fast=True)] | None
    ) = None
    include_stop_str_in_output: bool | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    max_tokens: Count | None = None
    min_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    ignore_eos: bool | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(ge=0.01, le=10)] | None = None
    logit_bias: LogitBias | None = None
    prompt_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    return_token_ids: bool | None = None
    return_tokens_as_token_ids: bool | None = None
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    json_schema: SchemaOrText | None = None
    guided_json: SchemaOrText | None = None
    guided_regex: Text | None = None
    guided_choice: Choices | None = None
    guided_grammar: Text | None = None
    regex: Text | None = None
    choice: Choices | None = None
    grammar: Text | None = None
    cache_salt: Annotated[str, Field(max_length=MAX_SALT_CHARS)] | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=1024)] | None = None
    metadata: Metadata | None = None

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with a chunk of usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def usage_of_a_chunk(
        self, usage: Callable[[], "Usage"], num_told: int
    ) -> dict[str, "Usage | None"]:
        """What a chunk of a stream says of usage, before the one that tells all of it.

        Args:
            usage: asked only if the client wants it in every chunk.
            num_told: generated tokens told by now; the engine may be ahead.
        """
        if not (self.stream_options and self.include_usage):
            return {}
        in_every_chunk = self.stream_options.continuous_usage_stats
        return {"usage": usage().after(num_told) if in_every_chunk else None}

    @property
    def structure(self) -> Structure | None:
        """What the answer must look like, however it was spelt."""
        spelt = {name: getattr(self, name) for name in STRUCTURE_FIELDS}
        return find_structure(self.response_format, self.structured_outputs, spelt)

    @model_validator(mode="after")
    def _refuse_what_is_not_supported(self) -> Self:
        if found := find_unsupported(self.model_extra or {}):
            refuse(*found)
        if self.stream_options is not None and not self.stream:
            refuse("stream_options", "is only allowed together with stream=true")
        if self.stream and self.prompt_logprobs is not None:
            refuse("prompt_logprobs", "is not told in streams; leave out stream")
        _ = self.structure  # refuses what contradicts itself
        return self


class PromptTokensDetails(ResponseModel):
    """Where the prompt's tokens came from."""

    cached_tokens: int


class CompletionTokensDetails(ResponseModel):
    """What the generated tokens were for."""

    reasoning_tokens: int


class Usage(ResponseModel):
    """Tokens read and written for one request."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails | None = None
    """Of models that reason; elsewhere left out."""

    def after(self, num_told: int) -> "Usage":
        """The same when only so many of the generated tokens have been told."""
        num_told = min(num_told, self.completion_tokens)
        changes: dict[str, object] = {
            "completion_tokens": num_told,
            "total_tokens": self.prompt_tokens + num_told,
        }
        if (details := self.completion_tokens_details) is not None:
            num_thought = min(num_told, details.reasoning_tokens)
            changes["completion_tokens_details"] = CompletionTokensDetails(
                reasoning_tokens=num_thought
            )
        return self.model_copy(update=changes)


FinishReason = Literal["stop", "length", "tool_calls"]
"""Plain completions know only the first two."""
