"""POST /v1/chat/completions without HTTP."""

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tercet_engine import (
    ChatPrompt,
    EngineOverloaded,
    Grammar,
    InvalidGrammar,
    RequestError,
    TemplateError,
    TokenLogprobs,
)
from tercet_server.protocol.chat import (
    AssistantMessage,
    ChatChoice,
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionRequest,
    ChunkChoice,
    Delta,
)
from tercet_server.protocol.common import FinishReason, Usage
from tercet_server.protocol.logprobs import ChatLogprobs
from tercet_server.protocol.tools import CalledFunction, DeltaToolCall, MessageToolCall
from tercet_server.record import RequestRecord
from tercet_server.services.admission import Admission
from tercet_server.services.answer_plan import AnswerPlan
from tercet_server.services.answers import Answers, Turn
from tercet_server.services.events import (
    AnswerEnd,
    AnswerEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.logprobs import LogprobWriter
from tercet_server.services.schema_errors import check_schema
from tercet_server.services.tools.schemas import enforced_schema


@dataclass(frozen=True, slots=True)
class ChatService:
    """Answers conversations."""

    admission: Admission

    async def start(
        self, request: ChatCompletionRequest, record: RequestRecord
    ) -> "ChatCompletionInProgress":
        """Check, tokenise and admit a request. Whoever calls this must `close` what it returns.

        Raises:
            ServerError, EngineError: why it was not admitted.
        """
        answers = await self.answer(request, record)
        return ChatCompletionInProgress(answers, request)

    async def answer(self, request: ChatCompletionRequest, record: RequestRecord) -> "Answers":
        """The same for whoever renders the answers in other words. It must be closed too."""
        model = record.model = self.admission.model
        engine = self.admission.engine
        plan = self._plan(request)
        prompt = await self._prompt(plan)
        try:
            generation = self.admission.submit(
                request,
                [prompt],
                request.token_limit,
                record,
                default_max_tokens=request.token_ceiling,
                logprobs=request.num_logprobs,
                prompt_logprobs=request.prompt_logprobs,
                grammar=await self._grammar(plan, prompt),
                shown_tokens=plan.shown_tokens,
            )
        except RequestError as error:
            if error.param == "prompt":  # the engine's word for it
                error.param = "messages"
            raise
        return Answers(
            generation,
            model,
            engine.info.fingerprint,
            prompt.tokens,
            LogprobWriter(engine.tokenizer, by_id=bool(request.return_tokens_as_token_ids)),
            readers=plan.readers(prompt, generation.num_choices),
            meters=plan.meters(prompt, generation.num_choices),
        )

    async def prompt(self, request: ChatCompletionRequest) -> ChatPrompt:
        """What the model would read of a request, which is not answered.

        Raises:
            ServerError, EngineError: it cannot be made a prompt of.
        """
        return await self._prompt(self._plan(request))

    def _plan(self, request: ChatCompletionRequest) -> AnswerPlan:
        engine = self.admission.engine
        if engine.chat_template is None:
            message = "this model has no chat template; use /v1/completions with a text prompt"
            raise TemplateError(message)
        return AnswerPlan.of(request, engine.chat_template, engine.tokenizer)

    async def _prompt(self, plan: AnswerPlan) -> ChatPrompt:
        lengths = [plan.request.num_chars]
        return await self.admission.tokenise(lengths, "messages", AnswerPlan.prompt, plan)

    async def _grammar(self, plan: AnswerPlan, prompt: ChatPrompt) -> Grammar | None:
        spec = plan.grammar(prompt)
        if spec is None:
            return await self.admission.grammar(plan.request)
        engine = self.admission.engine
        try:
            return await engine.compile_grammar(spec)
        except InvalidGrammar:
            with suppress(EngineOverloaded):  # so it is told without the place
                for index, tool in plan.tools.items():
                    schema = enforced_schema(tool.function.parameters)
                    await check_schema(engine, schema, f"tools[{index}].function.parameters")
            raise


class ChatCompletionInProgress:
    """Answers as a chat completion: read it by `chunks` or wait for `response`."""

    def __init__(self, answers: Answers, request: ChatCompletionRequest) -> None:
        self._answers = answers
        self._request = request
        self._include_usage = request.include_usage
        self._num_told = 0  # tokens, in chunks
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": answers.model,
            "system_fingerprint": answers.system_fingerprint,
        }

    async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
        """The role of each choice, its text piece by piece, why it ended; usage if asked for."""
        for index in range(self._answers.num_choices):
            fields = {} if index else self._prompt_ids()
            yield self._chunk(Delta(role="assistant", content=""), TextDelta(index, ""), **fields)
        async for event in self._answers.events():
            match event:
                case ReasoningDelta(text=text):
                    yield self._chunk(Delta(reasoning_content=text), event)
                case TextDelta(text=text):
                    yield self._chunk(Delta(content=text), event)
                case ToolCallStart() | ToolCallArguments():
                    yield self._chunk(Delta(tool_calls=[_delta_call(event)]), event)
                case AnswerEnd(finish_reason=finish_reason):
                    yield self._chunk(Delta(), event, finish_reason)
        if self._include_usage:
            yield self._usage_chunk()

    async def response(self) -> ChatCompletion:
        """The whole answer."""
        turns = await self._answers.finish()
        return ChatCompletion(
            **self._head,
            object="chat.completion",
            choices=[
                ChatChoice(
                    index=index,
                    message=_message(turn),
                    logprobs=self._logprobs(turn.logprobs),
                    finish_reason=turn.finish_reason,
                    **self._token_ids(turn.token_ids),
                )
                for index, turn in enumerate(turns)
            ],
            usage=self._answers.usage(),
            **self._of_the_prompt(),
        )

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._answers.close()

    def _logprobs(self, scores: Sequence[TokenLogprobs]) -> ChatLogprobs | None:
        if self._request.num_logprobs is None:
            return None
        return self._answers.writer.chat(scores)

    def _token_ids(self, token_ids: Sequence[int]) -> dict[str, Any]:
        return {"token_ids": list(token_ids)} if self._request.return_token_ids else {}

    def _prompt_ids(self) -> dict[str, Any]:
        if not self._request.return_token_ids:
            return {}
        return {"prompt_token_ids": list(self._answers.prompt_tokens)}

    def _of_the_prompt(self) -> dict[str, Any]:
        fields = self._prompt_ids()
        if (num_top := self._request.prompt_logprobs) is not None:
            scores = self._answers.prompt_logprobs()
            fields["prompt_logprobs"] = self._answers.writer.prompt(scores, num_top)
        return fields

    def _chunk(
        self,
        delta: Delta,
        event: AnswerEvent,
        finish_reason: FinishReason | None = None,
        **fields: Any,
    ) -> ChatCompletionChunk:
        choice = ChunkChoice(
            index=event.index,
            delta=delta,
            logprobs=self._logprobs(event.logprobs) if event.logprobs else None,
            finish_reason=finish_reason,
            **self._token_ids(event.token_ids),
        )
        self._num_told += len(event.token_ids)
        usage = self._request.usage_of_a_chunk(self._answers.usage, self._num_told)
        return ChatCompletionChunk(
            **self._head, object="chat.completion.chunk", choices=[choice], **usage, **fields
        )

    def _usage_chunk(self) -> ChatCompletionChunk:
        usage: Usage = self._answers.usage()
        return ChatCompletionChunk(
            **self._head, object="chat.completion.chunk", choices=[], usage=usage
        )


def _message(turn: Turn) -> AssistantMessage:
    """A whole answer; content is null where there are only calls."""
    fields: dict[str, Any] = {}
    if turn.reasoning:
        fields["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        fields["tool_calls"] = [
            MessageToolCall(
                id=call.id,
                type="function",
                function=CalledFunction(name=call.name, arguments=call.arguments),
            )
            for call in turn.tool_calls
        ]
    content = None if turn.tool_calls and not turn.text else turn.text
    return AssistantMessage(role="assistant", content=content, refusal=None, **fields)


def _delta_call(event: ToolCallStart | ToolCallArguments) -> DeltaToolCall:
    match event:
        case ToolCallStart():
            return DeltaToolCall(
                index=event.call,
                id=event.id,
                type="function",
                function=CalledFunction(name=event.name, arguments=""),
            )
        case ToolCallArguments():
            return DeltaToolCall(index=event.call, function=CalledFunction(arguments=event.text))
