"""Telling whoever waits how far the loading of a model has come."""

from typing import Protocol


class ProgressListener(Protocol):
    """Is told of the bytes of a checkpoint as they are packed."""

    def start(self, total_bytes: int) -> None:
        """Loading begins; `total_bytes` of tensors will be read."""

    def advance(self, num_bytes: int, what: str) -> None:
        """`num_bytes` more are done: those of the tensor named `what`."""

    def finish(self) -> None:
        """Everything is loaded. Not called when loading fails."""


class Silent:
    """Tells nobody."""

    def start(self, total_bytes: int) -> None:
        """Do nothing."""

    def advance(self, num_bytes: int, what: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
