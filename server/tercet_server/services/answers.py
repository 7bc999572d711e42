"""What an assistant answers while it is computed: as events, or whole. No API's words are in it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from tercet_engine import TokenLogprobs
from tercet_server.protocol.common import FinishReason, Usage
from tercet_server.services.events import AnswerEnd, AnswerEvent, TextDelta
from tercet_server.services.generation import Generation
from tercet_server.services.logprobs import LogprobWriter


@dataclass(frozen=True, slots=True)
class Turn:
    """One whole answer."""

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()


class Answers:
    """The answers to one conversation, one for each choice.

    Args:
        generation: what is being computed.
        model: the name to answer under.
        system_fingerprint: of the engine.
        prompt_tokens: what the conversation became.
        writer: knows the tokens' texts.
    """

    def __init__(
        self,
        generation: Generation,
        model: str,
        system_fingerprint: str,
        prompt_tokens: tuple[int, ...],
        writer: LogprobWriter,
    ) -> None:
        self.model = model
        self.system_fingerprint = system_fingerprint
        self.prompt_tokens = prompt_tokens
        self.writer = writer
        self._generation = generation

    @property
    def num_choices(self) -> int:
        """How many answers there are."""
        return self._generation.num_choices

    async def events(self) -> AsyncIterator[AnswerEvent]:
        """What happens, as it comes; each answer ends with its `AnswerEnd`.

        Raises:
            RequestTimedOut: the time is up.
            EngineError: the engine has given up.
        """
        async for piece in self._generation.pieces():
            if piece.text:
                yield TextDelta(piece.index, piece.text, piece.token_ids, piece.logprobs)
            if piece.finish_reason and piece.text:
                yield AnswerEnd(piece.index, piece.finish_reason)
            elif piece.finish_reason:
                yield AnswerEnd(piece.index, piece.finish_reason, piece.token_ids, piece.logprobs)

    async def finish(self) -> list[Turn]:
        """Wait for every answer to be whole. Raises what `events` raises."""
        events: list[list[AnswerEvent]] = [[] for _ in range(self.num_choices)]
        async for event in self.events():
            events[event.index].append(event)
        return list(map(_turn, events))

    def prompt_logprobs(self) -> tuple[TokenLogprobs | None, ...]:
        """Of the conversation's tokens, if they were asked for; known from the first event on."""
        return self._generation.prompt_logprobs(0)

    def usage(self) -> Usage:
        """Tokens up to now."""
        return self._generation.usage()

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._generation.close()


def _turn(events: Sequence[AnswerEvent]) -> Turn:
    ends = [event.finish_reason for event in events if isinstance(event, AnswerEnd)]
    return Turn(
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        ends[-1] if ends else "length",
        tuple(token for event in events for token in event.token_ids),
        tuple(score for event in events for score in event.logprobs),
    )
