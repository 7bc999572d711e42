"""/api/chat, /api/generate and their like: what a client of Ollama sends.

Its options are those of a whole engine. The ones that say how to draw are obeyed, ways of drawing
that this engine does not have are refused in words, and what is the operator's to decide (memory,
threads, the length of the context) is ignored.
"""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from tercet_server.protocol.chat import MAX_MESSAGES
from tercet_server.protocol.common import (
    MAX_LOGPROBS,
    MAX_NAME_CHARS,
    MAX_SEED,
    MIN_SEED,
    RequestModel,
    refuse,
)
from tercet_server.protocol.embeddings import MAX_INPUTS
from tercet_server.protocol.structured import Schema, Structure, schema_structure
from tercet_server.protocol.tools import PastToolCalls, Tools
from tercet_server.protocol.translated import ManyStopStrings

_IMAGES: Final = "must be left out: this server does not take images"


def _as_whole(value: object) -> object:
    """Clients of Ollama write 40.0 where 40 is meant."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_stops(value: object) -> object:
    if isinstance(value, str):
        return (value,) if value else None
    return tuple(value) if isinstance(value, list) else value


def _as_format(value: object) -> object:
    if value is None or value == "":
        return None
    if value == "json":
        return {"type": "object"}
    if not isinstance(value, dict):
        raise PydanticCustomError("format_type", "must be 'json' or a JSON schema")
    return value


Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
Whole = Annotated[int, Field(ge=MIN_SEED, le=MAX_SEED), BeforeValidator(_as_whole)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Share = Annotated[float, Field(ge=0, le=1)]


class Options(RequestModel):
    """How to draw. Numbers that mean "no limit" or "any" in Ollama do so here."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_k: Annotated[Whole, Field(ge=-1, le=2**31 - 1)] | None = None
    top_p: Share | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    tfs_z: float | None = None
    mirostat: Whole | None = None
    seed: Whole | None = None
    num_predict: Annotated[Whole, Field(le=2**31 - 1)] | None = None
    stop: Annotated[ManyStopStrings | None, BeforeValidator(_as_stops)] = None
    repeat_penalty: Annotated[float, Field(ge=0.01, le=10)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None

    @property
    def most_tokens(self) -> int | None:
        """Of an answer; None: as many as there is room for."""
        return self.num_predict if self.num_predict and self.num_predict > 0 else None

    @model_validator(mode="after")
    def _refuse_other_ways_to_draw(self) -> Self:
        words = "is not supported: this server does not draw that way. Leave it out"
        for name, is_wanted in (
            ("typical_p", self.typical_p not in {None, 0, 1}),
            ("tfs_z", self.tfs_z not in {None, 0, 1}),
            ("mirostat", self.mirostat not in {None, 0}),
        ):
            if is_wanted:
                refuse(name, words)
        return self


class OllamaRequest(RequestModel):
    """What requests to chat and to generate have in common."""

    model_config = ConfigDict(extra="allow")

    model: Name | None = None
    stream: bool | None = None
    options: Options | None = None
    format: Annotated[Schema | None, BeforeValidator(_as_format)] = None
    think: bool | Literal["low", "medium", "high", "max"] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    keep_alive: Any = None
    truncate: Any = None
    shift: Any = None

    @property
    def shape(self) -> Structure | None:
        """What the answer must look like."""
        return None if self.format is None else schema_structure(self.format, "format")

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.shape  # refuses what is too long
        if self.top_logprobs and not self.logprobs:
            refuse("top_logprobs", "is only allowed together with logprobs=true")
        return self


class OllamaMessage(RequestModel):
    """One turn."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    thinking: str | None = None
    images: Any = None
    tool_calls: PastToolCalls | None = None
    tool_name: Name | None = None
    tool_call_id: Name | None = None

    @model_validator(mode="after")
    def _refuse_images(self) -> Self:
        if self.images:
            refuse("images", _IMAGES)
        return self


class OllamaChatRequest(OllamaRequest):
    """A conversation to be answered; none: see to it that the model is loaded."""

    messages: (
        Annotated[tuple[OllamaMessage, ...], Field(max_length=MAX_MESSAGES, fail_fast=True)] | None
    ) = None
    tools: Tools | None = None


class OllamaGenerateRequest(OllamaRequest):
    """A prompt to be answered, or with `raw` continued; none: as in `OllamaChatRequest`."""

    prompt: str | None = None
    system: str | None = None
    raw: bool | None = None
    suffix: Any = None
    template: Any = None
    context: Any = None
    images: Any = None

    @model_validator(mode="after")
    def _refuse_what_is_not_there(self) -> Self:
        refusals = {
            "suffix": "must be left out: this server does not insert text before a suffix",
            "template": "must be left out: this server runs no template but the model's own",
            "context": "must be left out: send the conversation to /api/chat instead",
            "images": _IMAGES,
        }
        for name, words in refusals.items():
            if getattr(self, name):
                refuse(name, words)
        if self.raw and self.system:
            refuse("system", "cannot be combined with raw, which takes the prompt as it is")
        return self


def _as_texts(value: object) -> object:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


class OllamaEmbedRequest(RequestModel):
    """Texts to embed. One that is too long is cut, unless that is forbidden."""

    model_config = ConfigDict(extra="allow")

    model: Name | None = None
    input: Annotated[
        tuple[str, ...], Field(max_length=MAX_INPUTS, fail_fast=True), BeforeValidator(_as_texts)
    ]
    truncate: bool | None = None
    dimensions: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    options: Any = None
    keep_alive: Any = None


class OllamaEmbeddingsRequest(RequestModel):
    """One text to embed, in the older form."""

    model_config = ConfigDict(extra="allow")

    model: Name | None = None
    prompt: str = ""
    options: Any = None
    keep_alive: Any = None


class OllamaModelRequest(RequestModel):
    """Asks about a model, under either name of the field."""

    model: Name | None = None
    name: Name | None = None
