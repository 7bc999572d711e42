"""A sequence: the tokens of one completion and how far the engine has come with them."""

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tercet_engine.completion import FinishReason, Pooling, TokenLogprobs
from tercet_engine.drafter import Drafter
from tercet_engine.grammar import Constraint
from tercet_engine.sampling_params import SamplingParams

Float64Array = npt.NDArray[np.float64]


@dataclass(eq=False, slots=True)
class Sequence:
    """Tokens only ever grow at the end, so `num_computed_tokens` is all the progress there is.

    Attributes:
        id: unique within an engine.
        tokens: the prompt, then everything generated so far.
        params: how to draw; its `max_tokens` is resolved into the attribute of that name.
        max_tokens: tokens to generate at most.
        end_tokens: tokens which end the sequence once `params.min_tokens` are generated.
        choice: part of the random key.
        constraint: what the answer must obey.
        pooling: what is wanted of the prompt's hidden states.
        priority: lower ones are admitted first.
        cache_salt: its blocks are shared only with sequences of the same salt.
    """

    id: int
    tokens: list[int]
    params: SamplingParams
    max_tokens: int
    end_tokens: frozenset[int] = frozenset()
    choice: int = 0
    constraint: Constraint | None = None
    pooling: Pooling | None = None
    priority: int = 0
    cache_salt: bytes = b""
    num_prompt_tokens: int = field(init=False)
    num_computed_tokens: int = 0
    """Tokens whose keys and values are in the cache."""
    num_cached_tokens: int | None = None
    """Prompt tokens found in the prefix cache when first admitted; None before."""
    block_table: "array[int]" = field(default_factory=lambda: array("i"))
    block_hashes: list[bytes] = field(default_factory=list)
    """Of the full blocks, in order."""
    generated_counts: Counter[int] = field(default_factory=Counter)
    """How often each token was generated; kept only where a penalty needs it."""
    seen_tokens: set[int] = field(default_factory=set)
    """Of prompt and answer; kept only where the repetition penalty needs it."""
    prompt_logprobs: list[TokenLogprobs | None] = field(default_factory=list)
    """One for each prompt token, as far as they were asked for and are known."""
    pooled: Float64Array | None = None
    """The sum of the hidden states to be pooled, as far as they are computed: [hidden_size]."""
    drafter: Drafter | None = None
    """Guesses what comes next, once tokens are generated."""
    is_started: bool = False
    """Whether a step has computed any of it. Other threads may read it."""
    turn: int = 0
    """The place in the waiting line; see `Scheduler`."""
    finish_reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.num_prompt_tokens = len(self.tokens)
        if self.params.prompt_logprobs is not None:
            self.prompt_logprobs = [None] * self.num_prompt_tokens
        if self.params.repetition_penalty != 1:
            self.seen_tokens.update(self.tokens)

    @property
    def may_speculate(self) -> bool:
        """Whether a draw depends on nothing but the tokens before it."""
        return self.constraint is None and self.params.repetition_penalty == 1

    @property
    def num_cacheable_tokens(self) -> int:
        """Tokens at the beginning which need not be computed if their keys and values are there."""
        if self.pooling is Pooling.MEAN:
            return 0
        # The last token is always computed, for it is the one whose output is drawn from; so is
        # the one before each that is to be scored and is not yet.
        if self.params.prompt_logprobs is None or self.num_generated_tokens:
            return len(self.tokens) - 1
        return min(self.params.score_from, len(self.tokens)) - 1

    def tokens_to_score(self, first: int, count: int) -> range:
        """Of the prompt tokens after those at [first, first + count), those to be scored.

        They are scored once: none when the prompt is computed anew amid the answer.
        """
        if self.params.prompt_logprobs is None or self.num_generated_tokens:
            return range(0)
        begin = max(first + 1, self.params.score_from)
        return range(begin, min(first + count + 1, self.num_prompt_tokens))

    @property
    def num_pending_tokens(self) -> int:
        """Tokens that are known but not yet computed."""
        return len(self.tokens) - self.num_computed_tokens

    @property
    def num_generated_tokens(self) -> int:
        """Tokens drawn so far."""
        return len(self.tokens) - self.num_prompt_tokens

    @property
    def num_tokens_left(self) -> int:
        """Tokens that may still be drawn."""
        return self.num_prompt_tokens + self.max_tokens - len(self.tokens)

    @property
    def has_penalties(self) -> bool:
        """Whether what was generated changes how the next token is drawn."""
        return bool(self.params.presence_penalty or self.params.frequency_penalty)

    def forbidden_tokens(self, num_ahead: int = 0) -> Iterable[int]:
        """Tokens that must not be drawn: the end tokens while `min_tokens` is not reached.

        Args:
            num_ahead: how many tokens after the next one the draw is.
        """
        num_generated = self.num_generated_tokens + num_ahead
        return self.end_tokens if num_generated < self.params.min_tokens else ()

    def append(self, token: int) -> None:
        """Add the token just drawn, and notice whether it ends the sequence."""
        self.tokens.append(token)
        if self.params.repetition_penalty != 1:
            self.seen_tokens.add(token)
        if self.has_penalties:
            self.generated_counts[token] += 1
        may_end = self.constraint or self.num_generated_tokens > self.params.min_tokens
        if token in self.end_tokens and may_end:
            self.finish_reason = FinishReason.STOP
        elif not self.num_tokens_left:
            self.finish_reason = FinishReason.LENGTH
