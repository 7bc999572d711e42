"""POST /v1/decisions without HTTP: the probabilities of the answers that a question can have.

Each answer is put behind the question as the assistant's turn, as the chat template writes it, and
the model says how likely it finds that turn: every token of it from where the answers part, the end
of the turn included, so that "good" does not win what is "good enough"'s. Nothing is drawn, so the
same question always gets the same numbers. What the prompts share is computed once and then comes
from the prefix cache: the input for all questions, each question for all its answers.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tercet_engine import (
    CompletionRequest,
    CompletionStream,
    PromptTooLong,
    SamplingParams,
    TemplateError,
)
from tercet_server.protocol.decisions import (
    Answer,
    ChoiceAnswer,
    ChoiceProbability,
    ChoiceQuestion,
    Decision,
    DecisionInputDetails,
    DecisionOutputDetails,
    DecisionRequest,
    DecisionUsage,
    LevelProbability,
    Predicate,
    PredicateAnswer,
    Question,
    ScoreAnswer,
    ScoreQuestion,
)
from tercet_server.record import RequestRecord
from tercet_server.services.admission import Admission
from tercet_server.services.decision_prompts import Turn, answered, asked, conversation, options
from tercet_server.services.prompt_reader import PromptReader, all_of

_QUESTIONS_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class DecisionService:
    """Answers questions by probabilities."""

    admission: Admission

    async def decide(self, request: DecisionRequest, record: RequestRecord) -> Decision:
        """Answer every question, or none.

        Raises:
            ServerError, EngineError: why it was not done.
        """
        admission = self.admission
        model = record.model = admission.model
        reader = PromptReader(admission.engine, admission.timeout_seconds, record)
        turns = conversation(request.input)
        places = asyncio.Semaphore(_QUESTIONS_AT_ONCE)

        async def answer(question: Question) -> Answer:
            async with places:
                return await self._answer(turns, question, reader, request.cache_salt or "")

        first = await answer(request.questions[0])  # leaves the input in the cache
        others = await all_of(map(answer, request.questions[1:]))
        return Decision(model=model, answers=[first, *others], usage=_usage(reader))

    async def _answer(
        self, turns: Sequence[Turn], question: Question, reader: PromptReader, cache_salt: str
    ) -> Answer:
        asked_turns = asked(turns, question)
        num_chars = sum(len(turn["content"]) for turn in asked_turns)
        prompts = await self.admission.tokenise(
            [num_chars] * len(options(question)),
            "input",
            lambda answers: [self._prompt(answered(asked_turns, text)) for text in answers],
            options(question),
        )
        begin = _common_length(prompts)
        params = SamplingParams(max_tokens=0, prompt_logprobs=0, score_from=begin)
        requests = [CompletionRequest(p, params, cache_salt=cache_salt) for p in prompts]
        streams = await reader.read(requests[:1])  # leaves the question in the cache
        streams += await reader.read(requests[1:])
        return _answer_to(question, _shares([_logprob(stream) for stream in streams]))

    def _prompt(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        engine = self.admission.engine
        if engine.chat_template is None:
            message = "this model has no chat template; decisions need one"
            raise TemplateError(message, "input")
        tokens = engine.chat_template.prompt(turns, add_generation_prompt=False).tokens
        if len(tokens) > engine.info.max_context_tokens:
            error = PromptTooLong(len(tokens), 0, engine.info.max_context_tokens)
            error.param = "input"
            raise error
        return tokens


def _common_length(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; of each at least one is left, and one is before."""
    shortest = min(map(len, prompts))
    columns = zip(*prompts, strict=False)
    common = next((i for i, column in enumerate(columns) if len(set(column)) > 1), shortest)
    return max(1, min(common, shortest - 1))


def _logprob(stream: CompletionStream) -> float:
    return math.fsum(score.logprob for score in stream.prompt_logprobs if score)


def _shares(logprobs: Sequence[float]) -> list[float]:
    """Probabilities made to sum to 1."""
    top = max(logprobs)
    weights = [math.exp(logprob - top) for logprob in logprobs]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _answer_to(question: Question, shares: Sequence[float]) -> Answer:
    name, confidence = question.name, max(shares)
    match question:
        case Predicate():
            return PredicateAnswer(type="predicate", name=name, probability=shares[0])
        case ChoiceQuestion(choices=choices):
            return ChoiceAnswer(
                type="choice",
                name=name,
                choice=choices[shares.index(confidence)].value,
                confidence=confidence,
                probabilities=[
                    ChoiceProbability(value=choice.value, probability=share)
                    for choice, share in zip(choices, shares, strict=True)
                ],
            )
        case ScoreQuestion(levels=levels):
            return ScoreAnswer(
                type="score",
                name=name,
                score=math.fsum(value * share for value, share in enumerate(shares)),
                confidence=confidence,
                probabilities=[
                    LevelProbability(value=value, label=level.label, probability=share)
                    for value, (level, share) in enumerate(zip(levels, shares, strict=True))
                ],
            )


def _usage(reader: PromptReader) -> DecisionUsage:
    return DecisionUsage(
        input_tokens=reader.num_prompt_tokens,
        input_tokens_details=DecisionInputDetails(
            cached_tokens=reader.num_cached_tokens, cache_write_tokens=0
        ),
        output_tokens=0,
        output_tokens_details=DecisionOutputDetails(reasoning_tokens=0),
        total_tokens=reader.num_prompt_tokens,
    )
