"""How a request's sampling fields become the engine's.

A field that the client leaves out takes what the model's authors recommend (the checkpoint's
generation_config), where they do, and OpenAI's default otherwise. So `temperature` is 0.6 and not 1
for a model whose authors say so: small models are at their best there, and whoever wants 1 can say
it. A seed that is left out is drawn here, so that the log can tell it and the answer be repeated.
"""

import secrets

from tercet_engine import GenerationDefaults, SamplingParams
from tercet_server.protocol.common import GenerationRequest

_SMALLEST_TOP_P = 1e-9
"""OpenAI allows a top_p of 0: the likeliest token alone. The engine wants it over 0."""


def sampling_params(
    request: GenerationRequest,
    max_tokens: int | None,
    defaults: GenerationDefaults,
    *,
    logprobs: int | None = None,
    prompt_logprobs: int | None = None,
) -> SamplingParams:
    """The engine's parameters for a request.

    Args:
        request: has passed the door, so single fields are in their ranges.
        max_tokens: of the answer; None: as many as the context has room for.
        defaults: the model's.
        logprobs: likeliest tokens to report for each of the answer's; None: no report.
        prompt_logprobs: the same for the prompt's.

    Raises:
        InvalidSamplingParams: fields contradict each other.
    """
    top_p = _first(request.top_p, defaults.top_p, 1.0)
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=_first(request.temperature, defaults.temperature, 1.0),
        top_p=max(top_p, _SMALLEST_TOP_P),
        top_k=int(_first(request.top_k, defaults.top_k, 0)),
        min_p=request.min_p or 0.0,
        seed=secrets.randbits(63) if request.seed is None else request.seed % 2**64,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        repetition_penalty=request.repetition_penalty or 1.0,
        logit_bias={int(token): bias for token, bias in (request.logit_bias or {}).items()},
        stop=request.stop,
        stop_token_ids=frozenset(request.stop_token_ids or ()),
        include_stop=bool(request.include_stop_str_in_output),
        ignore_eos=bool(request.ignore_eos),
        min_tokens=request.min_tokens or 0,
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
    )


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
