"""POST /v1/decisions: questions about an input, answered by probabilities.

A predicate gets the probability that it is true, a choice one for each option, a score one for each
level and their mean.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tercet_server.protocol.base import (
    OpenRequest,
    RequestModel,
    ResponseModel,
    refuse,
)
from tercet_server.protocol.common import MAX_SALT_CHARS
from tercet_server.protocol.decision_input import (
    Content,
    Input,
    InputCall,
    InputCallOutput,
    Name,
)

MAX_QUESTIONS: Final = 400
MAX_CHOICES: Final = 255
MAX_OPTIONS: Final = 4096
"""Of all questions of a request together: each is read by the model."""
MAX_OPTION_CHARS: Final = 1024

OptionText = Annotated[str, Field(min_length=1, max_length=MAX_OPTION_CHARS)]


class Predicate(RequestModel):
    """How likely is it that this is true of the input?"""

    type: Literal["predicate"]
    instructions: Content
    name: Name | None = None


class Choice(RequestModel):
    """One option. A string and a boolean that look alike are two."""

    value: OptionText | bool
    description: str | None = None


class ChoiceQuestion(RequestModel):
    """Which of these fits the input?"""

    type: Literal["choice"]
    instructions: Content
    choices: Annotated[
        tuple[Choice, ...], Field(min_length=2, max_length=MAX_CHOICES, fail_fast=True)
    ]
    name: Name | None = None

    @model_validator(mode="after")
    def _check_that_they_differ(self) -> Self:
        if len({(type(choice.value), choice.value) for choice in self.choices}) < len(self.choices):
            refuse("choices", "must differ from one another")
        return self


class Level(RequestModel):
    """One step of a scale."""

    label: OptionText
    description: str | None = None


class ScoreQuestion(RequestModel):
    """Where on this scale is the input? Levels count from 0 in their order."""

    type: Literal["score"]
    instructions: Content
    levels: Annotated[
        tuple[Level, ...], Field(min_length=2, max_length=MAX_CHOICES, fail_fast=True)
    ]
    name: Name | None = None

    @model_validator(mode="after")
    def _check_that_they_differ(self) -> Self:
        if len({level.label for level in self.levels}) < len(self.levels):
            refuse("levels", "must have labels that differ from one another")
        return self


def _tag_of_question(question: object) -> str | None:
    kind = question.get("type") if isinstance(question, dict) else getattr(question, "type", None)
    return f"<{kind}>" if kind in ("predicate", "choice", "score") else None


Question = Annotated[
    Annotated[Predicate, Tag("<predicate>")]
    | Annotated[ChoiceQuestion, Tag("<choice>")]
    | Annotated[ScoreQuestion, Tag("<score>")],
    Discriminator(
        _tag_of_question,
        custom_error_type="question_type",
        custom_error_message="must be a question of type 'predicate', 'choice' or 'score'",
    ),
]


class DecisionRequest(OpenRequest):
    """The body of a request to decide."""

    model: Name | None = None
    input: Input
    questions: Annotated[
        tuple[Question, ...], Field(min_length=1, max_length=MAX_QUESTIONS, fail_fast=True)
    ]
    cache_salt: Annotated[str, Field(max_length=MAX_SALT_CHARS)] | None = None

    @model_validator(mode="after")
    def _check_the_number_of_options(self) -> Self:
        num_options = sum(map(_num_options, self.questions))
        if num_options > MAX_OPTIONS:
            refuse(
                "questions",
                "must have at most {limit} choices and levels together, a predicate counting as 2; "
                "got {value}",
                limit=MAX_OPTIONS,
                value=num_options,
            )
        return self

    @model_validator(mode="after")
    def _check_that_outputs_have_calls(self) -> Self:
        if isinstance(self.input, str):
            return self
        calls: set[str] = set()
        for item in self.input:
            if isinstance(item, InputCall):
                calls.add(item.call_id)
            elif isinstance(item, InputCallOutput) and item.call_id not in calls:
                refuse("input", "has the output of a tool with no call of that call_id before it")
        return self


def _num_options(question: Predicate | ChoiceQuestion | ScoreQuestion) -> int:
    match question:
        case Predicate():
            return 2
        case ChoiceQuestion():
            return len(question.choices)
    return len(question.levels)


class PredicateAnswer(ResponseModel):
    """How likely it is."""

    type: Literal["predicate"]
    name: str | None
    probability: float


class ChoiceProbability(ResponseModel):
    """Of one option."""

    value: str | bool
    probability: float


class ChoiceAnswer(ResponseModel):
    """The likeliest option; its probability is the confidence."""

    type: Literal["choice"]
    name: str | None
    choice: str | bool
    confidence: float
    probabilities: list[ChoiceProbability]


class LevelProbability(ResponseModel):
    """Of one level."""

    value: int
    label: str
    probability: float


class ScoreAnswer(ResponseModel):
    """The mean of the levels by their probabilities; the likeliest one's is the confidence."""

    type: Literal["score"]
    name: str | None
    score: float
    confidence: float
    probabilities: list[LevelProbability]


Answer = PredicateAnswer | ChoiceAnswer | ScoreAnswer


class DecisionInputDetails(ResponseModel):
    """Where the tokens came from."""

    cached_tokens: int
    cache_write_tokens: int


class DecisionOutputDetails(ResponseModel):
    """What was written for nobody."""

    reasoning_tokens: int


class DecisionUsage(ResponseModel):
    """Tokens read, those of every option's prompt: mostly from the cache. None are written."""

    input_tokens: int
    input_tokens_details: DecisionInputDetails
    output_tokens: int
    output_tokens_details: DecisionOutputDetails
    total_tokens: int


class Decision(ResponseModel):
    """The answers, in the order of the questions."""

    model: str
    answers: list[Answer]
    usage: DecisionUsage
