"""Answers from a model in this process, without a server."""

import asyncio
import secrets
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tercet_engine import (
    AsyncEngine,
    CompletionDelta,
    CompletionRequest,
    CompletionStream,
    EngineError,
    PromptTooLong,
    SamplingParams,
)
from tercet_server.cli.conversation import ChatError, Message, Piece
from tercet_server.cli.failure import CommandError


@dataclass(frozen=True, slots=True)
class Choices:
    """How to draw answers; None: as the model's authors recommend."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


class LocalAnswerer:
    """A loaded engine; this object closes it.

    Raises:
        CommandError: the model knows no chat.
    """

    def __init__(self, engine: AsyncEngine, choices: Choices) -> None:
        if engine.chat_template is None:
            message = (
                f"{engine.info.model_id} has no chat template, so it cannot chat; serve it and use "
                "/v1/completions"
            )
            engine.close()
            raise CommandError(message)
        self._template = engine.chat_template
        self._engine = engine
        self._choices = choices
        self._loop = asyncio.new_event_loop()
        self.name = engine.info.model_id

    def answer(self, messages: Sequence[Message]) -> Iterator[Piece]:
        """Continue a conversation. See `Answerer`."""
        try:
            stream = self._loop.run_until_complete(self._submit(messages))
        except PromptTooLong as error:
            message = f"{error}; /clear starts anew"
            raise ChatError(message) from error
        except EngineError as error:
            raise ChatError(str(error)) from error
        was_stopped = False

        def stop() -> None:
            nonlocal was_stopped
            was_stopped = True
            stream.abort()

        self._loop.add_signal_handler(signal.SIGINT, stop)
        try:
            while (delta := self._loop.run_until_complete(_next(stream))) is not None:
                yield Piece(delta.text, len(delta.token_ids), delta.finish_reason)
        except EngineError as error:
            raise ChatError(str(error)) from error
        finally:
            self._loop.remove_signal_handler(signal.SIGINT)
            stream.abort()
        if was_stopped:
            raise KeyboardInterrupt

    def close(self) -> None:
        """End the engine."""
        self._engine.close()
        self._loop.close()

    async def _submit(self, messages: Sequence[Message]) -> CompletionStream:
        prompt = self._template.prompt(messages)
        request = CompletionRequest(
            prompt.tokens, self._params(), strip_leading_space=prompt.strip_leading_space
        )
        (stream,) = self._engine.submit([request])
        return stream

    def _params(self) -> SamplingParams:
        choices, defaults = self._choices, self._engine.info.generation_defaults
        return SamplingParams(
            max_tokens=choices.max_tokens,
            temperature=_first(choices.temperature, defaults.temperature, 1.0),
            top_p=_first(choices.top_p, defaults.top_p, 1.0),
            top_k=defaults.top_k or 0,
            seed=secrets.randbits(64) if choices.seed is None else choices.seed,
        )


async def _next(stream: CompletionStream) -> CompletionDelta | None:
    return await anext(stream, None)


def _first(*values: float | None) -> float:
    return next(value for value in values if value is not None)
