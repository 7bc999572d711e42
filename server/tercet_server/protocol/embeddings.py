"""POST /v1/embeddings: what a client sends and what it gets.

The model is a causal language model, not one trained to embed: an embedding is its last hidden
states, pooled. It is fit for rough likeness of texts, no more.
"""

from typing import Annotated, Final, Literal

from pydantic import Discriminator, Field, Tag

from tercet_server.protocol.base import MAX_NAME_CHARS, OpenRequest, ResponseModel
from tercet_server.protocol.common import TokenId

MAX_INPUTS: Final = 2048
MAX_INPUT_TOKENS: Final = 2**20

NonEmptyText = Annotated[str, Field(min_length=1)]
TokenIds = Annotated[
    tuple[TokenId, ...], Field(min_length=1, max_length=MAX_INPUT_TOKENS, fail_fast=True)
]


def _tag_of_input(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    if not isinstance(value, list | tuple) or not value:
        return None
    first = value[0]
    if isinstance(first, str):
        return "<texts>"
    return "<token lists>" if isinstance(first, list | tuple) else "<tokens>"


Input = Annotated[
    Annotated[NonEmptyText, Tag("<text>")]
    | Annotated[
        tuple[NonEmptyText, ...], Field(max_length=MAX_INPUTS, fail_fast=True), Tag("<texts>")
    ]
    | Annotated[TokenIds, Tag("<tokens>")]
    | Annotated[
        tuple[TokenIds, ...], Field(max_length=MAX_INPUTS, fail_fast=True), Tag("<token lists>")
    ],
    Discriminator(
        _tag_of_input,
        custom_error_type="input_type",
        custom_error_message=(
            "must be a string, a list of strings, a list of token ids, or a list of such lists, "
            "and not empty"
        ),
    ),
]


class EmbeddingRequest(OpenRequest):
    """The body of a request to embed texts."""

    model: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = None
    pooling: Literal["mean", "last"] | None = None
    """What becomes of a text's hidden states: their mean, or the last token's; mean if left out."""
    user: Annotated[str, Field(max_length=1024)] | None = None

    @property
    def inputs(self) -> tuple[str, ...] | tuple[tuple[int, ...], ...]:
        """The inputs one by one: all of them texts, or all of them token ids."""
        if isinstance(self.input, str):
            return (self.input,)
        if isinstance(self.input[0], int):
            return (self.input,)
        return self.input

    @property
    def lengths(self) -> list[int]:
        """Characters of each input; none where it is made of token ids."""
        return [len(text) if isinstance(text, str) else 0 for text in self.inputs]

    def param(self, index: int) -> str:
        """How the client knows an input."""
        is_alone = isinstance(self.input, str) or isinstance(self.input[0], int)
        return "input" if is_alone else f"input[{index}]"


class Embedding(ResponseModel):
    """One input's embedding, of length 1."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str
    """Numbers, or the base64 of their bytes as little-endian 32-bit floats."""


class EmbeddingUsage(ResponseModel):
    """Tokens read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingList(ResponseModel):
    """The answer, in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
