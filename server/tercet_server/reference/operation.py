"""What the document says of one endpoint that its route and its models do not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


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
    """

    tag: str
    summary: str
    request: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    pieces: tuple[type[BaseModel], ...] = ()
    examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)


Operations = Mapping[tuple[str, str], Operation]
"""By method, in small letters, and path."""
