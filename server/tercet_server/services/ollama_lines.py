"""What an answer says, as lines of /api/chat or /api/generate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tercet_engine import TokenLogprobs
from tercet_server.protocol.ollama_answer import (
    OllamaAnswerMessage,
    OllamaChatLine,
    OllamaFunction,
    OllamaGenerateLine,
    OllamaToolCall,
)
from tercet_server.services.arguments import arguments_object
from tercet_server.services.events import (
    AnswerEvent,
    ReasoningDelta,
    TextDelta,
    ToolCallArguments,
    ToolCallStart,
)
from tercet_server.services.logprobs import LogprobWriter

Line = OllamaChatLine | OllamaGenerateLine


def timestamp(seconds: float | None = None) -> str:
    """A time as Ollama writes it; None: now."""
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says."""

    text: str = ""
    thinking: str = ""
    calls: tuple[OllamaToolCall, ...] = ()
    scores: tuple[TokenLogprobs, ...] = ()


def joined(pieces: Sequence[Said]) -> Said:
    """What lines say together."""
    return Said(
        "".join(said.text for said in pieces),
        "".join(said.thinking for said in pieces),
        tuple(call for said in pieces for call in said.calls),
        tuple(score for said in pieces for score in said.scores),
    )


class EventReader:
    """Turns what happens in an answer into what lines say: calls are held until they are whole."""

    def __init__(self) -> None:
        self._call: ToolCallStart | None = None
        self._arguments = ""
        self._scores: tuple[TokenLogprobs, ...] = ()

    def read(self, event: AnswerEvent) -> Iterator[Said]:
        """What has become clear by an event."""
        match event:
            case TextDelta(text=text):
                yield Said(text=text, scores=event.logprobs)
            case ReasoningDelta(text=text):
                yield Said(thinking=text, scores=event.logprobs)
            case ToolCallStart():
                yield from self.finish()
                self._call, self._scores = event, event.logprobs
            case ToolCallArguments(text=text):
                self._arguments += text
                self._scores += event.logprobs

    def finish(self) -> Iterator[Said]:
        """The call that was held, as far as it goes."""
        if self._call is None:
            return
        arguments = arguments_object(self._arguments)
        function = OllamaFunction(name=self._call.name, arguments=arguments)
        yield Said(
            calls=(OllamaToolCall(id=self._call.id, function=function),), scores=self._scores
        )
        self._call, self._arguments, self._scores = None, "", ()


@dataclass(frozen=True, slots=True)
class LineWriter:
    """Writes lines of one answer.

    Attributes:
        model: the name that was asked for.
        is_chat: whether they are /api/chat's.
        writer: of log-probabilities, if they were asked for.
    """

    model: str
    is_chat: bool
    writer: LogprobWriter | None = None

    def line(self, said: Said, **numbers: Any) -> Line:
        """A line; with `numbers` the last one."""
        fields: dict[str, Any] = {
            "model": self.model,
            "created_at": timestamp(),
            "done": bool(numbers),
            **numbers,
        }
        if self.writer and said.scores:
            fields["logprobs"] = self.writer.chat(said.scores).content
        thinking = {"thinking": said.thinking} if said.thinking else {}
        if not self.is_chat:
            return OllamaGenerateLine(**fields, response=said.text, **thinking)
        calls = {"tool_calls": list(said.calls)} if said.calls else {}
        message = OllamaAnswerMessage(role="assistant", content=said.text, **thinking, **calls)
        return OllamaChatLine(**fields, message=message)
