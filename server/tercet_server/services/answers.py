"""What an assistant answers while it is computed: as events, or whole. No API's words are in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tercet_server.protocol.common import FinishReason, Usage
from tercet_server.services.events import AnswerEnd, AnswerEvent, TextDelta
from tercet_server.services.generation import Generation


@dataclass(frozen=True, slots=True)
class Turn:
    """One whole answer."""

    text: str
    finish_reason: FinishReason


class Answers:
    """The answers to one conversation, one for each choice.

    Args:
        generation: what is being computed.
        model: the name to answer under.
        system_fingerprint: of the engine.
    """

    def __init__(self, generation: Generation, model: str, system_fingerprint: str) -> None:
        self.model = model
        self.system_fingerprint = system_fingerprint
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
                yield TextDelta(piece.index, piece.text)
            if piece.finish_reason:
                yield AnswerEnd(piece.index, piece.finish_reason)

    async def finish(self) -> list[Turn]:
        """Wait for every answer to be whole. Raises what `events` raises."""
        texts: list[list[str]] = [[] for _ in range(self.num_choices)]
        reasons: list[FinishReason] = ["length"] * self.num_choices
        async for event in self.events():
            match event:
                case TextDelta(index, text):
                    texts[index].append(text)
                case AnswerEnd(index, finish_reason):
                    reasons[index] = finish_reason
        return [Turn("".join(t), reason) for t, reason in zip(texts, reasons, strict=True)]

    def usage(self) -> Usage:
        """Tokens up to now."""
        return self._generation.usage()

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._generation.close()
