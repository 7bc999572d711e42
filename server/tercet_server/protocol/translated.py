"""What another API's request becomes: a chat request, and the few things chat does not say."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import override

from tercet_server.protocol.chat import ChatCompletionRequest
from tercet_server.protocol.common import MAX_STOP_CHARS, Count
from tercet_server.protocol.structured import Structure

MAX_TRANSLATED_STOPS: Final = 16

ManyStopStrings = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)], ...],
    Field(max_length=MAX_TRANSLATED_STOPS, fail_fast=True),
]


class TranslatedRequest(ChatCompletionRequest):
    """A chat request that no client sent.

    Attributes:
        most_tokens: of the answer, or fewer where the context has no room for them.
        shape: what the answer must look like.
    """

    stop: ManyStopStrings = ()
    most_tokens: Count | None = None
    shape: Structure | None = None

    @property
    @override
    def token_ceiling(self) -> int | None:
        return self.most_tokens

    @property
    @override
    def structure(self) -> Structure | None:
        return self.shape
