"""POST /v1/embeddings without HTTP: texts to vectors of length 1."""

import asyncio
import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from tercet_engine import (
    CompletionRequest,
    CompletionStream,
    InvalidToken,
    Pooling,
    PromptTooLong,
    SamplingParams,
)
from tercet_server.errors import InvalidRequest
from tercet_server.protocol.embeddings import (
    Embedding,
    EmbeddingList,
    EmbeddingRequest,
    EmbeddingUsage,
)
from tercet_server.record import RequestRecord
from tercet_server.services.admission import Admission
from tercet_server.services.prompt_reader import PromptReader

_MAX_NUMBERS: Final = 2**21
"""In one answer that spells them out: more would hold up everybody else while they are written."""

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EmbeddingService:
    """Embeds texts."""

    admission: Admission

    async def embed(self, request: EmbeddingRequest, record: RequestRecord) -> EmbeddingList:
        """Embed every input, or none.

        Raises:
            ServerError, EngineError: why it was not done.
        """
        admission = self.admission
        model = record.model = admission.model
        self._check_size(request)
        prompts = await admission.tokenise(request.lengths, "input", self._encode, request.inputs)
        for index, tokens in enumerate(prompts):
            self._check(tokens, request.param(index))
        reader = PromptReader(admission.engine, admission.timeout_seconds, record)
        pooling = Pooling(request.pooling or "mean")
        params = SamplingParams(max_tokens=0)
        streams = await reader.read(
            [CompletionRequest(tokens, params, pooling=pooling) for tokens in prompts]
        )
        vectors = list(map(_vector, streams))
        data = await asyncio.to_thread(_written, vectors, in_base64=_is_base64(request))
        num_tokens = reader.num_prompt_tokens
        usage = EmbeddingUsage(prompt_tokens=num_tokens, total_tokens=num_tokens)
        return EmbeddingList(object="list", data=data, model=model, usage=usage)

    def _encode(self, inputs: Sequence[str] | Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Texts get the model's BOS token before them; token ids are taken as they are."""
        encode = self.admission.engine.tokenizer.encode
        return [tuple(encode(item)) if isinstance(item, str) else item for item in inputs]

    def _check(self, tokens: Sequence[int], param: str) -> None:
        """Find what the engine would refuse before anything is computed."""
        info = self.admission.engine.info
        error: PromptTooLong | InvalidToken | None = None
        if len(tokens) > info.max_context_tokens:
            error = PromptTooLong(len(tokens), 0, info.max_context_tokens)
        elif max(tokens) >= info.vocab_size:
            error = InvalidToken(max(tokens), info.vocab_size)
        if error:
            error.param = param
            raise error

    def _check_size(self, request: EmbeddingRequest) -> None:
        size = self.admission.engine.info.hidden_size
        if request.dimensions not in {None, size}:
            message = (
                f"dimensions must be {size}, what this model has, for its embeddings cannot be "
                f"shortened; got {request.dimensions}. Leave it out"
            )
            raise InvalidRequest(message, "dimensions")
        most = _MAX_NUMBERS // size
        if not _is_base64(request) and len(request.inputs) > most:
            message = (
                f"input must have at most {most} entries where the embeddings are written as "
                f"numbers; got {len(request.inputs)}. Set encoding_format to base64, or send fewer"
            )
            raise InvalidRequest(message, "input")


def _is_base64(request: EmbeddingRequest) -> bool:
    return request.encoding_format == "base64"


def _vector(stream: CompletionStream) -> Float32Array:
    if stream.embedding is None:
        message = "the engine has not pooled what it was asked to pool"
        raise RuntimeError(message)
    return _normalised(stream.embedding)


def _normalised(vector: Float32Array) -> Float32Array:
    """The same direction with length 1; what has none stays as it is."""
    wide = vector.astype(np.float64)
    length = float(np.sqrt(wide @ wide))
    return (wide / length).astype("<f4") if length else vector.astype("<f4")


def _written(vectors: Sequence[Float32Array], *, in_base64: bool) -> list[Embedding]:
    return [
        Embedding(
            object="embedding",
            index=index,
            embedding=base64.b64encode(vector.tobytes()).decode() if in_base64 else vector.tolist(),
        )
        for index, vector in enumerate(vectors)
    ]
