"""From a checked request to its sequences in the engine: all that happens before the first byte.

Whatever is wrong with a request comes to light here, while it can still be an ordinary answer.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from tercet_engine import (
    AsyncEngine,
    ChatPrompt,
    CompletionRequest,
    Grammar,
    GrammarKind,
    GrammarSpec,
    InvalidGrammar,
    SamplingParams,
)
from tercet_server.errors import InvalidRequest, PromptTooLarge
from tercet_server.protocol.common import GenerationRequest
from tercet_server.record import RequestRecord
from tercet_server.served_models import ServedModels
from tercet_server.services.generation import Generation
from tercet_server.services.sampling import sampling_params
from tercet_server.services.schema_errors import located

_CHARS_PER_TOKEN: Final = 32
_SHORT_CHARS: Final = 4096
"""Texts up to this length are tokenised where they are: a thread would take longer to wake."""

A = TypeVar("A")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Admission:
    """What the services of all endpoints do alike, for a request to one model.

    Attributes:
        engine: computes.
        model: the name under which the model was asked for.
        max_prompt_chars: in one prompt.
        timeout_seconds: for a whole request.
        max_output_tokens: of one answer; None: as many as the context has room for.
        has_queue_limit: whether a request may be sent away while it waits for its turn.
    """

    engine: AsyncEngine
    model: str
    max_prompt_chars: int
    timeout_seconds: float
    max_output_tokens: int | None = None
    has_queue_limit: bool = False

    async def tokenise(
        self, lengths: Sequence[int], param: str, function: Callable[[A], T], argument: A
    ) -> T:
        """Call a function that tokenises, in a thread of its own if there is much to do.

        Args:
            lengths: of each prompt, in characters.
            param: the field that holds them.
            function: turns its argument into tokens.
            argument: the prompts.

        Raises:
            PromptTooLarge: one of them is not worth trying.
        """
        for num_chars in lengths:
            if num_chars > self.max_prompt_chars:
                raise PromptTooLarge(num_chars, self.max_prompt_chars, param)
        if sum(lengths) <= _SHORT_CHARS:
            return function(argument)
        return await asyncio.to_thread(function, argument)

    async def grammar(self, request: GenerationRequest) -> Grammar | None:
        """Compile what the answers must look like.

        Raises:
            InvalidGrammar: it cannot be enforced; of a JSON schema the place is named.
        """
        if (structure := request.structure) is None:
            return None
        spec = GrammarSpec(GrammarKind(structure.kind), structure.text, structure.param)
        try:
            return await self.engine.compile_grammar(spec)
        except InvalidGrammar as error:
            raise await located(self.engine, spec, error) from None

    def submit(
        self,
        request: GenerationRequest,
        prompts: Sequence[ChatPrompt],
        max_tokens: int | None,
        record: RequestRecord,
        *,
        default_max_tokens: int | None = None,
        num_choices: int | None = None,
        logprobs: int | None = None,
        prompt_logprobs: int | None = None,
        grammar: Grammar | None = None,
        shown_tokens: frozenset[int] = frozenset(),
    ) -> Generation:
        """Hand all sequences of a request to the engine, or none.

        The choices of each prompt are numbered from 0, so that a prompt gets the same answers
        alone and in company.

        Args:
            request: says how to sample.
            prompts: in the order of their answers.
            max_tokens: that the client asked for, of each answer; None: it did not.
            record: is told the seed and the number of choices.
            default_max_tokens: where the client did not ask: so many, or fewer where the context
                has no room for them; None: as many as it has room for.
            num_choices: for each prompt; None: as many as the client asked for.
            logprobs: likeliest tokens to report for each of the answers'; None: no report.
            prompt_logprobs: the same for the prompts'.
            grammar: what every answer must obey.
            shown_tokens: special tokens that the texts are to show.

        Raises:
            RequestError, EngineOverloaded, EngineDraining, EngineDead: why it was not taken.
        """
        params = sampling_params(
            request,
            self._bounded(request, max_tokens, default_max_tokens),
            self.engine.info.generation_defaults,
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
        )
        num_choices = num_choices or request.n or 1
        record.seed, record.stream = params.seed, bool(request.stream)
        is_free = request.structure is None  # else a space at the beginning may be part of it
        streams = self.engine.submit(
            [
                CompletionRequest(
                    prompt.tokens,
                    own_params,
                    choice,
                    prompt.strip_leading_space and is_free,
                    grammar=grammar,
                    priority=_priority(request.priority or 0, record.min_priority),
                    cache_salt=request.cache_salt or "",
                    shown_tokens=shown_tokens,
                )
                for prompt in prompts
                for own_params in [self._fitted(params, prompt) if max_tokens is None else params]
                for choice in range(num_choices)
            ]
        )
        record.num_choices = len(streams)
        generation = Generation(streams, num_choices, self.timeout_seconds, record)
        if self.has_queue_limit:
            record.until_started = generation.until_started
        return generation

    def _bounded(
        self, request: GenerationRequest, max_tokens: int | None, default: int | None
    ) -> int | None:
        """What was asked for, else the default, within what this server gives.

        Raises:
            InvalidRequest: it gives less.
        """
        limit = self.max_output_tokens
        if limit is None:
            return default if max_tokens is None else max_tokens
        if max_tokens is None:
            return limit if default is None else min(default, limit)
        if max_tokens > limit:
            is_new = getattr(request, "max_completion_tokens", None) is not None
            name = "max_completion_tokens" if is_new else "max_tokens"
            message = f"{name} must be at most {limit} on this server; got {max_tokens}"
            raise InvalidRequest(message, name)
        return max_tokens

    def _fitted(self, params: SamplingParams, prompt: ChatPrompt) -> SamplingParams:
        """The parameters with no more tokens than the context has room for behind the prompt."""
        room = self.engine.info.max_context_tokens - len(prompt.tokens)
        if params.max_tokens is None or params.max_tokens <= room:
            return params
        return replace(params, max_tokens=max(0, room) or None)  # None: the prompt is too long


@dataclass(frozen=True, slots=True)
class Admissions:
    """The way to each model, by the name that a request has for it.

    Attributes:
        models: there are.
        max_prompt_chars: in one prompt; None: 32 for each token of the model's context.
        timeout_seconds: for a whole request.
        max_output_tokens: in one answer; None: as many as there is room for.
        has_queue_limit: whether requests say how long they may wait.
    """

    models: ServedModels
    max_prompt_chars: int | None
    timeout_seconds: float
    max_output_tokens: int | None
    has_queue_limit: bool

    def to(self, name: str | None) -> Admission:
        """The way to the model of that name; None: to the first.

        Raises:
            UnknownModel: it is not served here.
        """
        model = self.models.pick(name)
        context = model.engine.info.max_context_tokens
        return Admission(
            engine=model.engine,
            model=model.name if name is None else name,
            max_prompt_chars=self.max_prompt_chars or _CHARS_PER_TOKEN * context,
            timeout_seconds=self.timeout_seconds,
            max_output_tokens=self.max_output_tokens,
            has_queue_limit=self.has_queue_limit,
        )


def _priority(asked: int, most_urgent: int | None) -> int:
    """The priority that a request gets: what it asks for, as far as its key reaches."""
    return asked if most_urgent is None else max(asked, most_urgent)
