"""What the document says of one endpoint that its route and its models do not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import BaseModel

SERVER_TAG: Final = "Server"
"""Of what those ask who run it: it takes no key and is answered however busy the server is."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One endpoint.

    Attributes:
        tag: the heading under which it stands.
        summary: what it does, in a few words.
        request: what its body is read as; None: it takes none.
        answer: what it sends, if that is JSON.
        pieces: what the events of a stream are.
        examples: bodies by what they show; the server answers each of them with 200.
        fields: what fields of the request do that `fields.py` does not know, or knows otherwise.
        work: what an engine does for it, as traces call that; None: no engine is asked.
        other_answer: what it sends to who asks in another API's words.
    """

    tag: str
    summary: str
    request: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    pieces: tuple[type[BaseModel], ...] = ()
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    work: Literal["chat", "text_completion", "embeddings", "decisions"] | None = None
    other_answer: type[BaseModel] | None = None

    @property
    def answers(self) -> tuple[type[BaseModel], ...]:
        """What it may send, if that is JSON."""
        return tuple(filter(None, (self.answer, self.other_answer)))

    @property
    def is_bounded(self) -> bool:
        """Whether it counts among the requests in progress; those about the server do not."""
        return self.tag != SERVER_TAG


Operations = Mapping[tuple[str, str], Operation]
"""By method, in small letters, and path."""
