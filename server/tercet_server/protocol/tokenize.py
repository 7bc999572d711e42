"""Text to token ids and back, as vLLM and llama.cpp spell it.

POST /tokenize        prompt, or messages            as vLLM
                      content                        as llama.cpp
POST /detokenize      tokens                         answers both at once
POST /apply-template  messages                       as llama.cpp
GET  /tokenizer_info                                 as vLLM
POST /v1/chat/completions/input_tokens               a chat request, its tokens counted
"""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from tercet_server.protocol.base import MAX_NAME_CHARS, OpenRequest, ResponseModel, refuse
from tercet_server.protocol.chat import MAX_MESSAGES, Message, TemplateVariables
from tercet_server.protocol.common import TokenId
from tercet_server.protocol.tools import Tools, check_tools

MAX_TOKENS: Final = 2**20

Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
Messages = Annotated[
    tuple[Message, ...], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
]


class ConversationRequest(OpenRequest):
    """What a conversation's prompt is made of, beside its messages. As in a chat request."""

    model: Name | None = None
    tools: Tools | None = None
    chat_template_kwargs: TemplateVariables | None = None
    add_generation_prompt: bool | None = None
    """End with the opening of the assistant's turn; true if left out."""

    @model_validator(mode="after")
    def _check_that_the_tools_fit(self) -> Self:
        check_tools(self.tools or ())
        return self


class MessagesRequest(ConversationRequest):
    """A conversation to be made a prompt of."""

    messages: Messages


class TokenizeRequest(ConversationRequest):
    """A text to be cut into tokens: a prompt, a content, or the prompt that messages become."""

    prompt: str | None = None
    messages: Messages | None = None
    content: str | None = None
    add_special_tokens: bool | None = None
    """Put the model's BOS token before a prompt; true if left out. Messages always have it."""
    return_token_strs: bool | None = None
    add_special: bool | None = None
    """Put the BOS token before a content; false if left out."""
    parse_special: bool | None = None
    with_pieces: bool | None = None

    @property
    def text(self) -> str:
        """What is to be cut, where there are no messages."""
        return (self.prompt if self.content is None else self.content) or ""

    @property
    def param(self) -> str:
        """The field that it came in."""
        return "prompt" if self.content is None else "content"

    @property
    def wants_bos(self) -> bool:
        """Whether the BOS token comes before it."""
        if self.content is None:
            return self.add_special_tokens is not False
        return bool(self.add_special)

    @model_validator(mode="after")
    def _check_that_there_is_one_text(self) -> Self:
        given = [
            name for name in ("prompt", "messages", "content") if getattr(self, name) is not None
        ]
        if not given:
            refuse("prompt", "is required, or messages, or content: what is to be tokenised")
        if len(given) > 1:
            refuse(given[1], f"and {given[0]} cannot be given together; leave one of them out")
        if self.parse_special is False:
            refuse("parse_special", "must be true: the texts of special tokens always count here")
        return self


class DetokenizeRequest(OpenRequest):
    """Tokens to be made a text of."""

    model: Name | None = None
    tokens: Annotated[tuple[TokenId, ...], Field(max_length=MAX_TOKENS, fail_fast=True)]


class Tokens(ResponseModel):
    """As vLLM tells tokens."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class Piece(ResponseModel):
    """One token as llama.cpp tells it; bytes where they alone are no text."""

    id: int
    piece: str | list[int]


class ContentTokens(ResponseModel):
    """As llama.cpp tells tokens."""

    tokens: list[int] | list[Piece]


class TokensText(ResponseModel):
    """The text of tokens, by the name that vLLM gives it and the one that llama.cpp does."""

    prompt: str
    content: str


class RenderedPrompt(ResponseModel):
    """A conversation as the model reads it."""

    prompt: str


class InputTokens(ResponseModel):
    """How long a request's prompt is."""

    object: Literal["response.input_tokens"]
    input_tokens: int


class TokenizerInfo(ResponseModel):
    """What clients want to know before they tokenise."""

    tokenizer_class: str
    vocab_size: int
    model_max_length: int
    bos_token: str | None
    eos_token: str | None
    pad_token: str | None
    additional_special_tokens: list[str]
    chat_template: str | None
    add_bos_token: bool
