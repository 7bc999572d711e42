"""POST /v1/completions without HTTP: one text or several to be continued."""

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from tercet_engine import ChatPrompt
from tercet_server.protocol.common import Usage
from tercet_server.protocol.completions import (
    DEFAULT_MAX_TOKENS,
    Completion,
    CompletionChoice,
    CompletionRequest,
)
from tercet_server.record import RequestRecord
from tercet_server.services.admission import Admission
from tercet_server.services.generation import Finished, Generation, Piece


@dataclass(frozen=True, slots=True)
class CompletionService:
    """Continues texts."""

    admission: Admission

    async def start(
        self, request: CompletionRequest, record: RequestRecord
    ) -> "CompletionInProgress":
        """Check, tokenise and admit a request. Whoever calls this must `close` what it returns.

        Raises:
            ServerError, EngineError: why it was not admitted.
        """
        model = record.model = self.admission.check_model(request.model)
        prompts = await self.admission.tokenise(
            request.lengths, "prompt", self._encode, request.prompts
        )
        generation = self.admission.submit(
            request, prompts, request.max_tokens, record, default_max_tokens=DEFAULT_MAX_TOKENS
        )
        return CompletionInProgress(
            generation,
            model=model,
            system_fingerprint=self.admission.engine.info.fingerprint,
            include_usage=request.include_usage,
        )

    def _encode(self, prompts: Sequence[str] | Sequence[tuple[int, ...]]) -> list[ChatPrompt]:
        """Texts get the model's BOS token before them; token ids are taken as they are."""
        encode = self.admission.engine.tokenizer.encode
        return [
            ChatPrompt(
                tokens=tuple(encode(prompt)) if isinstance(prompt, str) else prompt,
                strip_leading_space=False,
            )
            for prompt in prompts
        ]


class CompletionInProgress:
    """Completions that are being generated: read them by `chunks` or wait for `response`."""

    def __init__(
        self, generation: Generation, *, model: str, system_fingerprint: str, include_usage: bool
    ) -> None:
        self._generation = generation
        self._include_usage = include_usage
        self._head: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": system_fingerprint,
        }

    async def chunks(self) -> AsyncIterator[Completion]:
        """The texts piece by piece, the last piece of each with its reason; usage if asked for."""
        usage: dict[str, None] = {"usage": None} if self._include_usage else {}
        async for piece in self._generation.pieces():
            yield Completion(**self._head, choices=[_choice(piece.index, piece)], **usage)
        if self._include_usage:
            yield self._completion([], self._generation.usage())

    async def response(self) -> Completion:
        """All texts, whole."""
        finished = await self._generation.finish()
        choices = [_choice(index, text) for index, text in enumerate(finished)]
        return self._completion(choices, self._generation.usage())

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._generation.close()

    def _completion(self, choices: list[CompletionChoice], usage: Usage) -> Completion:
        return Completion(**self._head, choices=choices, usage=usage)


def _choice(index: int, text: Piece | Finished) -> CompletionChoice:
    return CompletionChoice(
        index=index, text=text.text, logprobs=None, finish_reason=text.finish_reason
    )
