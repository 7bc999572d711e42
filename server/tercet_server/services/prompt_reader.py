"""Prompts that are only read, scored or embedded: any number of them, a few at a time.

One client's request may hold thousands of prompts. The engine gets them as the earlier ones are
done, so that they neither fill its waiting line nor stand before everybody else's. Only the first
can be refused for want of room; the others wait for it.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

from tercet_engine import (
    AsyncEngine,
    CompletionRequest,
    CompletionStream,
    EngineDraining,
    EngineOverloaded,
    FinishReason,
)
from tercet_server.errors import RequestTimedOut
from tercet_server.record import RequestRecord

_MAX_AT_ONCE: Final = 16
_RETRY_SECONDS: Final = 0.1

T = TypeVar("T")


async def all_of(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do everything at once; as soon as one fails, or this is cancelled, the others are too."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class PromptReader:
    """Reads the prompts of one request.

    Args:
        engine: computes.
        timeout_seconds: for all of them together, from now on.
        record: is told how many tokens there were.
    """

    def __init__(self, engine: AsyncEngine, timeout_seconds: float, record: RequestRecord) -> None:
        self._engine = engine
        self._timeout_seconds = timeout_seconds
        self._deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._places = asyncio.Semaphore(_MAX_AT_ONCE)
        self._is_admitted = False
        self._record = record
        record.num_prompt_tokens = record.num_cached_tokens = record.num_generated_tokens = 0

    @property
    def num_prompt_tokens(self) -> int:
        """Of the prompts read up to now."""
        return self._record.num_prompt_tokens or 0

    @property
    def num_cached_tokens(self) -> int:
        """Those of them that the prefix cache knew."""
        return self._record.num_cached_tokens or 0

    async def read(self, requests: Sequence[CompletionRequest]) -> list[CompletionStream]:
        """Read prompts to their ends; what was found is in their streams, in the same order.

        Raises:
            RequestError: a prompt cannot be read.
            EngineOverloaded: there is no room even for the first.
            EngineDraining, EngineDead: nothing more will be computed.
            RequestTimedOut: the time is up.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                return await all_of(map(self._read_one, requests))
        except TimeoutError:
            raise RequestTimedOut(self._timeout_seconds) from None

    async def _read_one(self, request: CompletionRequest) -> CompletionStream:
        async with self._places:
            stream = await self._admit(request)
            try:
                async for delta in stream:
                    if delta.finish_reason is FinishReason.ABORT:  # nobody does, but a shutdown
                        raise EngineDraining
            finally:
                stream.abort()
        self._record.num_prompt_tokens = self.num_prompt_tokens + stream.num_prompt_tokens
        self._record.num_cached_tokens = self.num_cached_tokens + stream.num_cached_tokens
        return stream

    async def _admit(self, request: CompletionRequest) -> CompletionStream:
        while True:
            try:
                (stream,) = self._engine.submit([request], is_patient=self._is_admitted)
            except EngineOverloaded:
                if not self._is_admitted:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self._is_admitted = True
                return stream
