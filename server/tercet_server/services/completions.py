"""POST /v1/completions without HTTP: one text or several to be continued."""

import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
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
from tercet_server.services.choices import ChoiceWriter, best
from tercet_server.services.generation import Generation


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
        model = record.model = self.admission.model
        prompts = await self.admission.tokenise(
            request.lengths, "prompt", self._encode, request.prompts
        )
        is_contest = request.num_candidates > (request.n or 1)
        generation = self.admission.submit(
            request,
            prompts,
            request.max_tokens,
            record,
            default_max_tokens=DEFAULT_MAX_TOKENS,
            num_choices=request.num_candidates,
            logprobs=0 if is_contest and request.logprobs is None else request.logprobs,
            prompt_logprobs=request.num_prompt_logprobs,
            grammar=await self.admission.grammar(request),
        )
        engine = self.admission.engine
        head = {"model": model, "system_fingerprint": engine.info.fingerprint}
        writer = ChoiceWriter(
            request, [prompt.tokens for prompt in prompts], engine.tokenizer, generation
        )
        return CompletionInProgress(generation, request, writer, head)

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
        self,
        generation: Generation,
        request: CompletionRequest,
        writer: ChoiceWriter,
        head: Mapping[str, Any],
    ) -> None:
        self._generation = generation
        self._request = request
        self._writer = writer
        self._head: dict[str, Any] = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            **head,
        }

    async def chunks(self) -> AsyncIterator[Completion]:
        """The texts piece by piece, the last piece of each with its reason; usage if asked for."""
        num_told = 0
        async for piece in self._generation.pieces():
            num_told += len(piece.token_ids)
            choice = self._writer.choice(piece.index, piece.index, piece)
            usage = self._request.usage_of_a_chunk(self._generation.usage, num_told)
            yield Completion(**self._head, choices=[choice], **usage)
        if self._request.include_usage:
            yield self._completion([], self._generation.usage())

    async def response(self) -> Completion:
        """All texts, whole."""
        finished = await self._generation.finish()
        kept = best(finished, self._request.num_candidates, self._request.n or 1)
        choices = [
            self._writer.choice(index, candidate, finished[candidate])
            for index, candidate in enumerate(kept)
        ]
        return self._completion(choices, self._generation.usage())

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._generation.close()

    def _completion(self, choices: list[CompletionChoice], usage: Usage) -> Completion:
        return Completion(**self._head, choices=choices, usage=usage)
