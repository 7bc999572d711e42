"""POST /v1/completions: what a client sends and what it gets.

A prompt is text or token ids, and there may be several: four forms, told apart by what comes first.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from tercet_server.protocol.common import (
    MAX_CHOICES,
    MAX_LOGPROBS,
    MAX_SEQUENCES,
    FinishReason,
    GenerationRequest,
    ResponseModel,
    TokenId,
    Usage,
    refuse,
)
from tercet_server.protocol.logprobs import CompletionLogprobs, PromptLogprobs

DEFAULT_MAX_TOKENS: Final = 16
"""As in OpenAI's reference for this endpoint; fewer where the context has no room for them."""
MAX_PROMPT_TOKENS: Final = 2**20

TokenIds = Annotated[tuple[TokenId, ...], Field(max_length=MAX_PROMPT_TOKENS, fail_fast=True)]


def _tag_of_prompt(prompt: object) -> str | None:
    if isinstance(prompt, str):
        return "<text>"
    if not isinstance(prompt, list) or not prompt:
        return None
    first = prompt[0]
    if isinstance(first, str):
        return "<texts>"
    return "<token lists>" if isinstance(first, list) else "<tokens>"


Prompt = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[tuple[str, ...], Field(max_length=MAX_SEQUENCES, fail_fast=True), Tag("<texts>")]
    | Annotated[TokenIds, Tag("<tokens>")]
    | Annotated[
        tuple[TokenIds, ...], Field(max_length=MAX_SEQUENCES, fail_fast=True), Tag("<token lists>")
    ],
    Discriminator(
        _tag_of_prompt,
        custom_error_type="prompt_type",
        custom_error_message=(
            "must be a string, a list of strings, a list of token ids, or a list of such lists, "
            "and not empty"
        ),
    ),
]


class CompletionRequest(GenerationRequest):
    """The body of a request to complete a text."""

    prompt: Prompt
    max_tokens: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = None
    echo: bool | None = None
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None

    @property
    def num_candidates(self) -> int:
        """Completions of each prompt to generate, of which the best `n` are given."""
        return self.best_of or self.n or 1

    @property
    def num_prompt_logprobs(self) -> int | None:
        """Likeliest tokens to report for each of the prompts'; None: no report."""
        echoed = self.logprobs if self.echo else None
        return max((n for n in (echoed, self.prompt_logprobs) if n is not None), default=None)

    @property
    def prompts(self) -> tuple[str, ...] | tuple[tuple[int, ...], ...]:
        """The prompts one by one: all of them texts, or all of them token ids."""
        if isinstance(self.prompt, str):
            return (self.prompt,)
        if isinstance(self.prompt[0], int):
            return (self.prompt,)
        return self.prompt

    @property
    def lengths(self) -> list[int]:
        """Characters of each prompt; none where it is made of token ids."""
        return [len(prompt) if isinstance(prompt, str) else 0 for prompt in self.prompts]

    @model_validator(mode="after")
    def _check_the_number_of_sequences(self) -> Self:
        num_sequences = len(self.prompts) * self.num_candidates
        if num_sequences > MAX_SEQUENCES:
            refuse(
                "best_of" if self.best_of else "n",
                "times the number of prompts must be at most {limit}; got {value}",
                limit=MAX_SEQUENCES,
                value=num_sequences,
            )
        return self

    @model_validator(mode="after")
    def _check_what_goes_together(self) -> Self:
        given, candidates = self.n or 1, self.num_candidates
        if candidates < given:
            refuse("best_of", "must be at least n, {n}; got {value}", n=given, value=candidates)
        if candidates > given and self.stream:
            refuse("best_of", "must be n in a stream: the best is known only in the end")
        if self.max_tokens == 0 and not self.echo and self.prompt_logprobs is None:
            refuse("max_tokens", "may be 0 only with echo or prompt_logprobs")
        return self


class CompletionChoice(ResponseModel):
    """One completion, or in a stream what a chunk adds to it."""

    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None
    prompt_logprobs: PromptLogprobs | None = None


class Completion(ResponseModel):
    """The answer, or one event of it. A stream has `usage` only if the client asked for it."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: Usage | None = None
