"""A refusal as part of a conversation: every API that has it spells it alike."""

from typing import Literal

from tercet_server.protocol.base import RequestModel


class RefusalPart(RequestModel):
    """Words with which an assistant declined, sent back as part of the conversation."""

    type: Literal["refusal"]
    refusal: str

    @property
    def text(self) -> str:
        """The words, under the name they have in other parts."""
        return self.refusal
