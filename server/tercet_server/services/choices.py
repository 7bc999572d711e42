"""Choices of plain completions: with the prompt before them, with scores, the best of several."""

from collections.abc import Sequence
from typing import Any

from tercet_engine import Tokenizer
from tercet_server.protocol.completions import CompletionChoice, CompletionRequest
from tercet_server.protocol.logprobs import CompletionLogprobs
from tercet_server.services.generation import Finished, Generation, Piece
from tercet_server.services.logprobs import LogprobWriter
from tercet_server.services.text_offsets import TextOffsets


def best(finished: Sequence[Finished], num_candidates: int, num_kept: int) -> list[int]:
    """Which candidates to give: of each prompt the likeliest by the mean of their tokens.

    Args:
        finished: those of one prompt stand together.
        num_candidates: how many they are.
        num_kept: of each prompt.
    """
    if num_candidates == num_kept:
        return list(range(len(finished)))
    kept: list[int] = []
    for begin in range(0, len(finished), num_candidates):
        group = range(begin, begin + num_candidates)
        kept += sorted(group, key=lambda index: -_mean_logprob(finished[index]))[:num_kept]
    return kept


def _mean_logprob(text: Finished) -> float:
    return sum(score.logprob for score in text.logprobs) / max(1, len(text.logprobs))


class ChoiceWriter:
    """Writes pieces or whole texts as a request wants them.

    Args:
        request: says what to tell.
        prompts: the tokens of each.
        tokenizer: knows their texts.
        generation: knows the prompts' scores once it has begun.
    """

    def __init__(
        self,
        request: CompletionRequest,
        prompts: Sequence[Sequence[int]],
        tokenizer: Tokenizer,
        generation: Generation,
    ) -> None:
        self._request = request
        self._prompts = prompts
        self._tokenizer = tokenizer
        self._generation = generation
        self._writer = LogprobWriter(tokenizer, by_id=bool(request.return_tokens_as_token_ids))
        self._offsets: dict[int, TextOffsets] = {}  # of the candidates that have begun

    def choice(self, index: int, candidate: int, text: Piece | Finished) -> CompletionChoice:
        """One choice, or what a piece adds to it.

        Args:
            index: to tell it by.
            candidate: which of the generated ones it is.
            text: what it has gained.
        """
        is_first = candidate not in self._offsets
        prompt = self._prompts[candidate // self._request.num_candidates]
        echoed = prompt if is_first and self._request.echo else ()
        return CompletionChoice(
            index=index,
            text=self._tokenizer.decode(echoed) + text.text,
            logprobs=self._logprobs(candidate, echoed, text),
            finish_reason=text.finish_reason,
            **self._extras(candidate, prompt, text, is_first=is_first),
        )

    def _logprobs(
        self, candidate: int, echoed: Sequence[int], text: Piece | Finished
    ) -> CompletionLogprobs | None:
        offsets = self._offsets.setdefault(candidate, TextOffsets(self._tokenizer))
        if (num_top := self._request.logprobs) is None:
            return None
        scores = [*self._generation.prompt_logprobs(candidate)] if echoed else []
        begins = offsets.push(echoed)
        if echoed:
            offsets.break_off()
        begins += offsets.push(text.token_ids)
        tokens = [*echoed, *text.token_ids]
        return self._writer.completion(tokens, begins, [*scores, *text.logprobs], num_top)

    def _extras(
        self, candidate: int, prompt: Sequence[int], text: Piece | Finished, *, is_first: bool
    ) -> dict[str, Any]:
        """Fields that are written only for those who ask."""
        extras: dict[str, Any] = {}
        if self._request.return_token_ids:
            extras["token_ids"] = list(text.token_ids)
            if is_first:
                extras["prompt_token_ids"] = list(prompt)
        if (num_top := self._request.prompt_logprobs) is not None:
            scores = self._generation.prompt_logprobs(candidate)
            extras["prompt_logprobs"] = self._writer.prompt(scores, num_top)
        return extras
