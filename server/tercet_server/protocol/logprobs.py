"""Log-probabilities as clients get them: chat's form, and the older one of plain completions."""

from tercet_server.protocol.common import ResponseModel


class TopLogprob(ResponseModel):
    """A token and how likely the model found it. Bytes are the token's own; null: it has none."""

    token: str
    logprob: float
    bytes: list[int] | None


class TokenLogprob(TopLogprob):
    """A token of the answer, and what was likeliest in its place."""

    top_logprobs: list[TopLogprob]


class ChatLogprobs(ResponseModel):
    """Of the answer's tokens, or in a stream of those that a chunk adds."""

    content: list[TokenLogprob]
    refusal: None


class CompletionLogprobs(ResponseModel):
    """The same in the older form; the first token of an echoed prompt has none."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]


class PromptLogprob(ResponseModel):
    """One of the tokens in a prompt's place, under its id; `rank` counts from 1, null: not told."""

    logprob: float
    rank: int | None
    decoded_token: str


PromptLogprobs = list[dict[str, PromptLogprob] | None]
