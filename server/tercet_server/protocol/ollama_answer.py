"""/api/chat, /api/generate and their like: what a client of Ollama gets. Durations are in ns."""

from typing import Any, Literal

from tercet_server.protocol.common import ResponseModel
from tercet_server.protocol.logprobs import TokenLogprob

DoneReason = Literal["stop", "length", "load"]


class OllamaFunction(ResponseModel):
    """What is called, and with what."""

    name: str
    arguments: dict[str, Any]


class OllamaToolCall(ResponseModel):
    """A tool that the answer calls."""

    id: str
    function: OllamaFunction


class OllamaAnswerMessage(ResponseModel):
    """What an answer, or a line of its stream, says."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = None
    tool_calls: list[OllamaToolCall] | None = None


class OllamaLine(ResponseModel):
    """What answers to chat and to generate have in common. The last line has `done` and numbers."""

    model: str
    created_at: str
    done: bool
    done_reason: DoneReason | None = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    logprobs: list[TokenLogprob] | None = None


class OllamaChatLine(OllamaLine):
    """A line of chat, or the whole of it."""

    message: OllamaAnswerMessage


class OllamaGenerateLine(OllamaLine):
    """A line of generate, or the whole of it."""

    response: str
    thinking: str | None = None


class OllamaEmbeddings(ResponseModel):
    """The embeddings of texts, each of length 1."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int


class OllamaEmbedding(ResponseModel):
    """The embedding of one text, in the older form."""

    embedding: list[float]


class OllamaDetails(ResponseModel):
    """Of what kind a model is."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(ResponseModel):
    """A model in a list. The last three are told of those that are running."""

    name: str
    model: str
    modified_at: str | None = None
    size: int
    digest: str
    details: OllamaDetails
    expires_at: str | None = None
    size_vram: int | None = None
    context_length: int | None = None


class OllamaModels(ResponseModel):
    """Models."""

    models: list[OllamaModel]


class OllamaModelInfo(ResponseModel):
    """All about a model."""

    license: str
    modelfile: str
    parameters: str
    template: str
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class OllamaVersion(ResponseModel):
    """Which Ollama's API is spoken."""

    version: str
