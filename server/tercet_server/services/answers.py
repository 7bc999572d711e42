"""What an assistant answers while it is computed: as events, or whole. No API's words are in it."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tercet_engine import TokenLogprobs
from tercet_server.protocol.common import CompletionTokensDetails, FinishReason, Usage
from tercet_server.services.events import (
    AnswerEnd,
    AnswerEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.generation import Generation, Piece
from tercet_server.services.logprobs import LogprobWriter
from tercet_server.services.readers import AnswerReader, PlainReader
from tercet_server.services.reasoning import ReasoningMeter


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that an answer calls. `arguments` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One whole answer."""

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()


class Answers:
    """The answers to one conversation, one for each choice.

    Args:
        generation: what is being computed.
        model: the name to answer under.
        system_fingerprint: of the engine.
        prompt_tokens: what the conversation became.
        writer: knows the tokens' texts.
        readers: of each choice; None: all are plain text.
        meters: of each choice's thought; none for a model that does not think.
    """

    def __init__(
        self,
        generation: Generation,
        model: str,
        system_fingerprint: str,
        prompt_tokens: tuple[int, ...],
        writer: LogprobWriter,
        *,
        readers: Iterable[AnswerReader] | None = None,
        meters: Sequence[ReasoningMeter] = (),
    ) -> None:
        self.model = model
        self.system_fingerprint = system_fingerprint
        self.prompt_tokens = prompt_tokens
        self.writer = writer
        self._generation = generation
        readers = readers or map(PlainReader, range(generation.num_choices))
        self._choices = [_Choice(reader) for reader in readers]
        self._meters = meters

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
            if self._meters:
                self._meters[piece.index].push(piece.token_ids)
            for event in self._choices[piece.index].events(piece):
                yield event

    async def finish(self) -> list[Turn]:
        """Wait for every answer to be whole. Raises what `events` raises."""
        events: list[list[AnswerEvent]] = [[] for _ in range(self.num_choices)]
        async for event in self.events():
            events[event.index].append(event)
        return list(map(_turn, events))

    def prompt_logprobs(self) -> tuple[TokenLogprobs | None, ...]:
        """Of the conversation's tokens, if they were asked for; known from the first event on."""
        return self._generation.prompt_logprobs(0)

    def stop_string(self, index: int) -> str | None:
        """The stop string that has ended an answer, if one did; known from its end on."""
        return self._generation.stop_string(index)

    def usage(self) -> Usage:
        """Tokens up to now."""
        usage = self._generation.usage()
        if not self._meters:
            return usage
        num_tokens = sum(meter.num_tokens for meter in self._meters)
        details = CompletionTokensDetails(reasoning_tokens=num_tokens)
        return usage.model_copy(update={"completion_tokens_details": details})

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._generation.close()


class _Choice:
    """One answer's reader, and the tokens of text that it holds back."""

    def __init__(self, reader: AnswerReader) -> None:
        self._reader = reader
        self._token_ids: tuple[int, ...] = ()
        self._logprobs: tuple[TokenLogprobs, ...] = ()

    def events(self, piece: Piece) -> Iterator[AnswerEvent]:
        self._token_ids += piece.token_ids
        self._logprobs += piece.logprobs
        for event in self._read(piece):
            yield replace(event, token_ids=self._token_ids, logprobs=self._logprobs)
            self._token_ids, self._logprobs = (), ()

    def _read(self, piece: Piece) -> Iterator[AnswerEvent]:
        yield from self._reader.push(piece.text)
        if piece.finish_reason:
            yield from self._reader.finish(piece.finish_reason)


def _turn(events: Sequence[AnswerEvent]) -> Turn:
    ends = [event.finish_reason for event in events if isinstance(event, AnswerEnd)]
    return Turn(
        "".join(event.text for event in events if isinstance(event, TextDelta)),
        ends[-1] if ends else "length",
        tuple(token for event in events for token in event.token_ids),
        tuple(score for event in events for score in event.logprobs),
        "".join(event.text for event in events if isinstance(event, ReasoningDelta)),
        tuple(_calls(events)),
    )


def _calls(events: Sequence[AnswerEvent]) -> Iterator[ToolCall]:
    arguments = [event for event in events if isinstance(event, ToolCallArguments)]
    for start in events:
        if isinstance(start, ToolCallStart):
            texts = [event.text for event in arguments if event.call == start.call]
            yield ToolCall(start.id, start.name, "".join(texts))
