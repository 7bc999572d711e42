"""From the engine's log-probabilities to those of the protocol."""

from collections.abc import Iterable, Sequence
from typing import Final

from tercet_engine import Tokenizer, TokenLogprobs
from tercet_server.protocol.logprobs import (
    ChatLogprobs,
    CompletionLogprobs,
    PromptLogprob,
    PromptLogprobs,
    TokenLogprob,
    TopLogprob,
)

_LOWEST: Final = -9999.0
"""JSON knows no infinity."""


class LogprobWriter:
    """Writes log-probabilities with the texts of one tokenizer's tokens.

    Args:
        tokenizer: knows the texts.
        by_id: write "token_id:5" in place of a text: several tokens may have the same one.
    """

    def __init__(self, tokenizer: Tokenizer, *, by_id: bool = False) -> None:
        self._tokenizer = tokenizer
        self._is_by_id = by_id

    def chat(self, scores: Iterable[TokenLogprobs]) -> ChatLogprobs:
        """In chat's form."""
        content = [
            TokenLogprob(
                **self._named(score.token, score.logprob),
                top_logprobs=[TopLogprob(**self._named(*entry)) for entry in score.top],
            )
            for score in scores
        ]
        return ChatLogprobs(content=content, refusal=None)

    def completion(
        self,
        tokens: Sequence[int],
        offsets: Sequence[int],
        scores: Sequence[TokenLogprobs | None],
        num_top: int,
    ) -> CompletionLogprobs:
        """In the older form.

        The token itself is always among its `top_logprobs`, `num_top` and itself at most. Where
        several tokens have the same text, the likeliest stands for them.
        """
        return CompletionLogprobs(
            tokens=[self._name(token) for token in tokens],
            token_logprobs=[_floored(score.logprob) if score else None for score in scores],
            top_logprobs=[self._by_text(score, num_top) if score else None for score in scores],
            text_offset=list(offsets),
        )

    def prompt(self, scores: Iterable[TokenLogprobs | None], num_top: int) -> PromptLogprobs:
        """Of a prompt's tokens, by the tokens' ids: `num_top` and itself at most."""
        return [self._by_id(score, num_top) if score else None for score in scores]

    def _by_text(self, score: TokenLogprobs, num_top: int) -> dict[str, float]:
        entries: dict[str, float] = {}
        for token, logprob in (*score.top[:num_top], (score.token, score.logprob)):
            name = self._name(token)
            entries[name] = max(_floored(logprob), entries.get(name, _LOWEST))
        return entries

    def _by_id(self, score: TokenLogprobs, num_top: int) -> dict[str, PromptLogprob]:
        ranks = {token: rank for rank, (token, _) in enumerate(score.top, start=1)}
        entries = dict(score.top[:num_top]) | {score.token: score.logprob}
        return {
            str(token): PromptLogprob(
                logprob=_floored(logprob),
                rank=ranks.get(token),
                decoded_token=self._tokenizer.token_text(token),
            )
            for token, logprob in entries.items()
        }

    def _name(self, token: int) -> str:
        return f"token_id:{token}" if self._is_by_id else self._tokenizer.token_text(token)

    def _named(self, token: int, logprob: float) -> dict[str, object]:
        own = self._tokenizer.token_bytes(token)
        return {
            "token": self._name(token),
            "logprob": _floored(logprob),
            "bytes": list(own) if own else None,
        }


def _floored(logprob: float) -> float:
    return max(logprob, _LOWEST)
