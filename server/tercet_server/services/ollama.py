"""/api/chat and /api/generate without HTTP: chat, told in Ollama's words.

A stream is a line for each piece of text and one at the end that has the numbers; what does not
stream is all its lines in one. A request that asks nothing is one to load the model, which is.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tercet_engine import ChatPrompt
from tercet_server.protocol.common import FinishReason
from tercet_server.protocol.ollama import OllamaChatRequest, OllamaGenerateRequest
from tercet_server.protocol.translated import TranslatedRequest
from tercet_server.record import RequestRecord
from tercet_server.services.answers import Answers
from tercet_server.services.chat import ChatService
from tercet_server.services.events import AnswerEnd
from tercet_server.services.logprobs import LogprobWriter
from tercet_server.services.ollama_lines import EventReader, Line, LineWriter, Said, joined
from tercet_server.services.ollama_request import chat_request, generate_request


@dataclass(frozen=True, slots=True)
class OllamaService:
    """Answers conversations and prompts as Ollama does."""

    chat: ChatService

    async def start_chat(
        self, request: OllamaChatRequest, record: RequestRecord
    ) -> "OllamaInProgress | Loaded":
        """Check, tokenise and admit a request. Whoever calls this must `close` what it returns.

        Raises:
            ServerError, EngineError: why it was not admitted.
        """
        if not request.messages:
            return self._loaded(request.model, record, is_chat=True)
        translated = chat_request(request)
        answers = await self.chat.answer(translated, record)
        return self._in_progress(answers, request.model, translated, is_chat=True)

    async def start_generate(
        self, request: OllamaGenerateRequest, record: RequestRecord
    ) -> "OllamaInProgress | Loaded":
        """The same for a prompt."""
        if not request.prompt:
            return self._loaded(request.model, record, is_chat=False)
        translated = generate_request(request)
        if request.raw:
            answers = await self._continue(request.prompt, translated, record)
        else:
            answers = await self.chat.answer(translated, record)
        return self._in_progress(answers, request.model, translated, is_chat=False)

    async def _continue(
        self, text: str, request: TranslatedRequest, record: RequestRecord
    ) -> Answers:
        """Continue a text that no template has touched."""
        admission = self.chat.admission
        engine = admission.engine
        model = record.model = admission.model
        tokens = await admission.tokenise([len(text)], "prompt", engine.tokenizer.encode, text)
        prompt = ChatPrompt(tuple(tokens), strip_leading_space=False)
        generation = admission.submit(
            request,
            [prompt],
            None,
            record,
            default_max_tokens=request.most_tokens,
            logprobs=request.num_logprobs,
            grammar=await admission.grammar(request),
        )
        writer = LogprobWriter(engine.tokenizer)
        return Answers(generation, model, engine.info.fingerprint, prompt.tokens, writer)

    def _loaded(self, name: str | None, record: RequestRecord, *, is_chat: bool) -> "Loaded":
        record.model = self.chat.admission.model
        return Loaded(LineWriter(name or record.model, is_chat))

    def _in_progress(
        self, answers: Answers, name: str | None, request: TranslatedRequest, *, is_chat: bool
    ) -> "OllamaInProgress":
        writer = answers.writer if request.logprobs else None
        return OllamaInProgress(answers, LineWriter(name or answers.model, is_chat, writer))


class OllamaInProgress:
    """An answer as lines: read it by `chunks` or wait for `response`."""

    def __init__(self, answers: Answers, writer: LineWriter) -> None:
        self._answers = answers
        self._writer = writer
        self._reader = EventReader()
        self._started = time.monotonic_ns()
        self._first: int | None = None

    async def chunks(self) -> AsyncIterator[Line]:
        """A line for each piece, then one with the numbers."""
        async for said, reason in self._said():
            yield self._writer.line(said, **(self._numbers(reason) if reason else {}))

    async def response(self) -> Line:
        """All lines in one."""
        pieces: list[Said] = []
        numbers: dict[str, Any] = {}
        async for said, reason in self._said():
            pieces.append(said)
            numbers = self._numbers(reason) if reason else {}
        return self._writer.line(joined(pieces), **numbers)

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._answers.close()

    async def _said(self) -> AsyncIterator[tuple[Said, FinishReason | None]]:
        """What each line says; with the last, why there is no more."""
        async for event in self._answers.events():
            self._first = self._first or time.monotonic_ns()
            for said in self._reader.read(event):
                yield said, None
            if isinstance(event, AnswerEnd):
                for said in self._reader.finish():
                    yield said, None
                yield Said(scores=event.logprobs), event.finish_reason

    def _numbers(self, reason: FinishReason) -> dict[str, Any]:
        usage, now = self._answers.usage(), time.monotonic_ns()
        first = self._first or now
        return {
            "done_reason": "length" if reason == "length" else "stop",
            "total_duration": now - self._started,
            "load_duration": 0,
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": first - self._started,
            "eval_count": usage.completion_tokens,
            "eval_duration": now - first,
        }


@dataclass(frozen=True, slots=True)
class Loaded:
    """The answer to a request that asks nothing: the model is loaded."""

    writer: LineWriter

    async def chunks(self) -> AsyncIterator[Line]:
        """The one line."""
        yield await self.response()

    async def response(self) -> Line:
        """The same."""
        return self.writer.line(Said(), done_reason="load")

    def close(self) -> None:
        """There is nothing to give up."""
