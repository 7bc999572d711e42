"""Text to token ids and back without HTTP. Nothing is computed by the model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tercet_engine import InvalidToken, TemplateError, Tokenizer
from tercet_server.protocol.chat import ChatCompletionRequest, Message
from tercet_server.protocol.tokenize import (
    ContentTokens,
    ConversationRequest,
    DetokenizeRequest,
    InputTokens,
    MessagesRequest,
    Piece,
    RenderedPrompt,
    TokenizeRequest,
    TokenizerInfo,
    Tokens,
    TokensText,
)
from tercet_server.services.admission import Admission
from tercet_server.services.answer_plan import AnswerPlan

_FEW_TOKENS: Final = 4096
"""As many become text where they are: a thread would take longer to wake."""


@dataclass(frozen=True, slots=True)
class TokenizeService:
    """What the tokenizer and the chat template do, for whoever wants to see it."""

    admission: Admission

    async def tokenize(self, request: TokenizeRequest) -> Tokens | ContentTokens:
        """Cut a text, or the prompt that messages become, into tokens."""
        tokens = await self._tokens(request)
        if request.content is not None:
            return ContentTokens(tokens=self._pieces(tokens) if request.with_pieces else tokens)
        texts = [self._tokenizer.token_text(token) for token in tokens]
        return Tokens(
            count=len(tokens),
            max_model_len=self.admission.engine.info.max_context_tokens,
            tokens=tokens,
            token_strs=texts if request.return_token_strs else None,
        )

    async def detokenize(self, request: DetokenizeRequest) -> TokensText:
        """Put tokens together. Special tokens become their names."""
        vocab_size = self.admission.engine.info.vocab_size
        if (highest := max(request.tokens, default=0)) >= vocab_size:
            error = InvalidToken(highest, vocab_size)
            error.param = "tokens"
            raise error
        if len(request.tokens) > _FEW_TOKENS:
            text = await asyncio.to_thread(_text, self._tokenizer, request.tokens)
        else:
            text = _text(self._tokenizer, request.tokens)
        return TokensText(prompt=text, content=text)

    async def render(self, request: MessagesRequest) -> RenderedPrompt:
        """Make a prompt of messages, and show it as text."""
        tokens = await self._prompt(request, request.messages)
        return RenderedPrompt(prompt=_text(self._tokenizer, tokens))

    async def count(self, request: ChatCompletionRequest) -> InputTokens:
        """Count the tokens of a chat request's prompt, also of one that the context cannot hold."""
        tokens = await self._chat_prompt(request)
        return InputTokens(object="response.input_tokens", input_tokens=len(tokens))

    def info(self) -> TokenizerInfo:
        """What clients want to know before they tokenise."""
        engine = self.admission.engine
        template, tokenizer = engine.chat_template, engine.tokenizer
        named = template.variables if template else {}
        bos = named.get("bos_token") or _text(tokenizer, tokenizer.bos_tokens) or None
        ends = [tokenizer.token_text(token) for token in sorted(engine.info.stop_token_ids)]
        return TokenizerInfo(
            tokenizer_class="PreTrainedTokenizerFast",
            vocab_size=engine.info.vocab_size,
            model_max_length=engine.info.max_context_tokens,
            bos_token=bos,
            eos_token=named.get("eos_token") or next(iter(ends), None),
            pad_token=named.get("pad_token"),
            additional_special_tokens=sorted(tokenizer.special_tokens),
            chat_template=template.source if template else None,
            add_bos_token=bool(tokenizer.bos_tokens),
        )

    @property
    def _tokenizer(self) -> Tokenizer:
        return self.admission.engine.tokenizer

    async def _tokens(self, request: TokenizeRequest) -> list[int]:
        if request.messages is not None:
            return list(await self._prompt(request, request.messages))
        return await self.admission.tokenise(
            [len(request.text)],
            request.param,
            lambda text: self._tokenizer.encode(text, add_special_tokens=request.wants_bos),
            request.text,
        )

    async def _prompt(
        self, request: ConversationRequest, messages: tuple[Message, ...]
    ) -> tuple[int, ...]:
        chat = ChatCompletionRequest(
            messages=messages,
            tools=request.tools,
            chat_template_kwargs=request.chat_template_kwargs,
        )
        return await self._chat_prompt(
            chat, add_generation_prompt=request.add_generation_prompt is not False
        )

    async def _chat_prompt(
        self, request: ChatCompletionRequest, *, add_generation_prompt: bool = True
    ) -> tuple[int, ...]:
        engine = self.admission.engine
        if engine.chat_template is None:
            message = "this model has no chat template; send a prompt instead"
            raise TemplateError(message)
        plan = AnswerPlan.of(request, engine.chat_template, engine.tokenizer)
        render = partial(AnswerPlan.prompt, add_generation_prompt=add_generation_prompt)
        prompt = await self.admission.tokenise([request.num_chars], "messages", render, plan)
        return prompt.tokens

    def _pieces(self, tokens: Sequence[int]) -> list[Piece]:
        return [Piece(id=token, piece=_piece(self._tokenizer, token)) for token in tokens]


def _text(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    return b"".join(_bytes(tokenizer, token) for token in tokens).decode("utf-8", "replace")


def _piece(tokenizer: Tokenizer, token: int) -> str | list[int]:
    own = _bytes(tokenizer, token)
    try:
        return own.decode()
    except UnicodeDecodeError:  # a part of a character
        return list(own)


def _bytes(tokenizer: Tokenizer, token: int) -> bytes:
    """Of a special token those of its name."""
    return tokenizer.token_bytes(token) or tokenizer.token_text(token).encode()
