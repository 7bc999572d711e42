"""/api/embed and /api/embeddings without HTTP."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from tercet_server.protocol.embeddings import EmbeddingRequest
from tercet_server.protocol.ollama import OllamaEmbeddingsRequest, OllamaEmbedRequest
from tercet_server.protocol.ollama_answer import OllamaEmbedding, OllamaEmbeddings
from tercet_server.record import RequestRecord
from tercet_server.services.embeddings import EmbeddingService
from tercet_server.services.translation import in_words


@dataclass(frozen=True, slots=True)
class OllamaEmbedService:
    """Embeds texts as Ollama does."""

    embeddings: EmbeddingService

    async def embed(self, request: OllamaEmbedRequest, record: RequestRecord) -> OllamaEmbeddings:
        """Embed every text, or none; none at all if there are none.

        Raises:
            ServerError, EngineError: why it was not done.
        """
        started = time.monotonic_ns()
        admission = self.embeddings.admission
        vectors: list[list[float]] = []
        num_tokens = 0
        if request.input:
            tokens = await admission.tokenise(
                list(map(len, request.input)), "input", self._encode, request.input
            )
            if request.truncate is not False:
                tokens = [ids[: admission.engine.info.max_context_tokens] for ids in tokens]
            with in_words():
                own = EmbeddingRequest(input=tuple(tokens), dimensions=request.dimensions)
            found = await self.embeddings.embed(own, record)
            vectors = [one.embedding for one in found.data if isinstance(one.embedding, list)]
            num_tokens = found.usage.prompt_tokens
        return OllamaEmbeddings(
            model=request.model or admission.model,
            embeddings=vectors,
            total_duration=time.monotonic_ns() - started,
            load_duration=0,
            prompt_eval_count=num_tokens,
        )

    async def embed_one(
        self, request: OllamaEmbeddingsRequest, record: RequestRecord
    ) -> OllamaEmbedding:
        """The same for one text; none where it is empty."""
        texts = (request.prompt,) if request.prompt else ()
        found = await self.embed(OllamaEmbedRequest(model=request.model, input=texts), record)
        return OllamaEmbedding(embedding=found.embeddings[0] if found.embeddings else [])

    def _encode(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        encode = self.embeddings.admission.engine.tokenizer.encode
        return [tuple(encode(text)) for text in texts]
