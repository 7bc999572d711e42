"""Telling whoever waits how far the fetching of a model has come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A file that will be fetched, or the rest of it.

    Attributes:
        name: in its repository.
        num_bytes: of the whole file.
        num_done: bytes of it that an earlier attempt has left.
    """

    name: str
    num_bytes: int
    num_done: int


class FetchListener(Protocol):
    """Is told of the files of a model as they arrive."""

    def start(self, what: str, files: Sequence[PlannedFile]) -> None:
        """Fetching begins, and these are the files of `what` that are not here yet."""

    def advance(self, name: str, num_bytes: int) -> None:
        """So many more bytes of a file are here; less than none where it begins anew."""

    def note(self, text: str) -> None:
        """Something has happened that explains a wait."""

    def finish(self) -> None:
        """Everything is here. Not called when fetching fails."""


class SilentFetch:
    """Tells nobody."""

    def start(self, what: str, files: Sequence[PlannedFile]) -> None:
        """Do nothing."""

    def advance(self, name: str, num_bytes: int) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
