"""Several completions read as one: whichever has something new comes next."""

import asyncio
from collections.abc import Sequence
from typing import Self

from tercet_engine import CompletionDelta, CompletionStream


class MergedStreams:
    """An async iterator of (index of the stream, its next delta). Ends when all have ended.

    Nothing is read ahead of the reader: each stream joins what has not been taken into one delta.
    An error of one stream is raised here. `close` must be called in the end, by whatever way.

    Args:
        streams: what to read.
        deadline: on the event loop's clock; after it `TimeoutError` is raised.
    """

    def __init__(self, streams: Sequence[CompletionStream], deadline: float) -> None:
        self._streams = streams
        self._deadline = deadline
        self._num_open = len(streams)
        self._queue: asyncio.Queue[tuple[int, CompletionDelta] | Exception | None] = asyncio.Queue(
            maxsize=1
        )
        self._pumps: list[asyncio.Task[None]] = []

    def __aiter__(self) -> Self:
        if not self._pumps:
            self._pumps = [
                asyncio.create_task(self._pump(index, stream))
                for index, stream in enumerate(self._streams)
            ]
        return self

    async def __anext__(self) -> tuple[int, CompletionDelta]:
        while self._num_open:
            async with asyncio.timeout_at(self._deadline):
                item = await self._queue.get()
            if isinstance(item, Exception):
                raise item
            if item is not None:
                return item
            self._num_open -= 1
        raise StopAsyncIteration

    def close(self) -> None:
        """Abort what has not ended."""
        for task in self._pumps:
            task.cancel()
        for stream in self._streams:
            stream.abort()

    async def _pump(self, index: int, stream: CompletionStream) -> None:
        try:
            async for delta in stream:
                await self._queue.put((index, delta))
            await self._queue.put(None)
        except Exception as error:  # noqa: BLE001 -- raised again where the queue is read
            await self._queue.put(error)
