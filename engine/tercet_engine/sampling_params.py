"""How one completion is to be drawn: ranges are checked here once and trusted ever after."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tercet_engine.errors import InvalidSamplingParams

MAX_STOP_STRINGS: Final = 16
MAX_STOP_CHARS: Final = 256
MAX_STOP_TOKEN_IDS: Final = 64
MAX_LOGIT_BIASES: Final = 1024
MAX_SEED: Final = 2**64 - 1
MAX_TOP_K: Final = 2**31 - 1
MAX_LOGPROBS: Final = 20
MIN_REPETITION_PENALTY: Final = 0.01
MAX_REPETITION_PENALTY: Final = 10
GREEDY_TEMPERATURE: Final = 1e-5
"""Temperatures below this take the likeliest token."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """What shapes a completion. Everything that can change its tokens, but the prompt, is here.

    Raises `InvalidSamplingParams` from its constructor, naming the parameter, its range and the
    value given.

    Attributes:
        max_tokens: tokens to generate at most; None: as many as the context has room for; 0: none,
            the prompt is only scored.
        temperature: 0 to 2; below `GREEDY_TEMPERATURE` the likeliest token is taken.
        top_p: over 0, at most 1; draw from the likeliest tokens that make up this probability.
        top_k: draw from this many likeliest tokens; 0 or -1: from all (stored as 0).
        min_p: 0 to 1; drop tokens less likely than this share of the likeliest one.
        seed: uint64. The same seed, prompt and parameters give the same tokens.
        presence_penalty: -2 to 2, taken off the logit of every token generated so far.
        frequency_penalty: -2 to 2, the same, times how often it was generated.
        repetition_penalty: 0.01 to 10; the logit of every token of the prompt and the answer so far
            is divided by it if positive, else multiplied.
        logit_bias: token id to -100..100, added to its logit.
        stop: strings that end the completion when they appear; they are not part of the text.
        stop_token_ids: tokens that end the completion, beside the model's own.
        include_stop: what ends the completion, of these two, is part of the text after all.
        ignore_eos: go on past the model's own end tokens.
        min_tokens: neither end tokens nor stop strings end the completion before this many.
        logprobs: report each generated token's log-probability and those of so many likeliest
            tokens, 0 to `MAX_LOGPROBS`; None: no such report. They are the model's own, before
            penalties, biases and temperature.
        prompt_logprobs: the same of each prompt token after the first.
        score_from: of the prompt token at this index and those after it; those before may come from
            the prefix cache.
    """

    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    stop_token_ids: frozenset[int] = frozenset()
    include_stop: bool = False
    ignore_eos: bool = False
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    score_from: int = 1

    def __post_init__(self) -> None:
        if self.top_k == -1:
            object.__setattr__(self, "top_k", 0)
        if self.max_tokens is not None:
            _check(self.max_tokens >= 0, "max_tokens", "must be at least 0", self.max_tokens)
        _check_range("temperature", self.temperature, 0, 2)
        _check(0 < self.top_p <= 1, "top_p", "must be over 0 and at most 1", self.top_p)
        _check(0 <= self.top_k <= MAX_TOP_K, "top_k", "must be -1, 0 or more", self.top_k)
        _check_range("min_p", self.min_p, 0, 1)
        _check_range("seed", self.seed, 0, MAX_SEED)
        _check_range("presence_penalty", self.presence_penalty, -2, 2)
        _check_range("frequency_penalty", self.frequency_penalty, -2, 2)
        _check_range(
            "repetition_penalty",
            self.repetition_penalty,
            MIN_REPETITION_PENALTY,
            MAX_REPETITION_PENALTY,
        )
        _check(self.score_from >= 1, "score_from", "must be at least 1", self.score_from)
        for name, count in (("logprobs", self.logprobs), ("prompt_logprobs", self.prompt_logprobs)):
            if count is not None:
                _check_range(name, count, 0, MAX_LOGPROBS)
        _check_count("logit_bias", len(self.logit_bias), MAX_LOGIT_BIASES)
        for bias in self.logit_bias.values():
            _check(-100 <= bias <= 100, "logit_bias", "values must be from -100 to 100", bias)
        self._check_stops()
        _check(self.min_tokens >= 0, "min_tokens", "must be at least 0", self.min_tokens)
        if self.max_tokens is not None:
            most = f"must be at most max_tokens, {self.max_tokens}"
            _check(self.min_tokens <= self.max_tokens, "min_tokens", most, self.min_tokens)

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest token is always taken."""
        return self.temperature < GREEDY_TEMPERATURE

    def _check_stops(self) -> None:
        _check_count("stop", len(self.stop), MAX_STOP_STRINGS)
        for stop in self.stop:
            if not 1 <= len(stop) <= MAX_STOP_CHARS:
                message = f"strings must have 1 to {MAX_STOP_CHARS} characters; got {len(stop)}"
                raise InvalidSamplingParams("stop", message)
        _check_count("stop_token_ids", len(self.stop_token_ids), MAX_STOP_TOKEN_IDS)


def _check_range(param: str, value: float, low: float, high: float) -> None:
    _check(low <= value <= high, param, f"must be from {low} to {high}", value)  # NaN is in none


def _check_count(param: str, count: int, most: int) -> None:
    if count > most:
        raise InvalidSamplingParams(param, f"takes at most {most} entries; got {count}")


def _check(condition: bool, param: str, rule: str, value: float) -> None:  # noqa: FBT001 -- a predicate
    if not condition:
        raise InvalidSamplingParams(param, f"{rule}; got {value}")
