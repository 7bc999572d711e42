"""One response in progress, from its first event to where it is kept."""

from collections.abc import AsyncIterator, Awaitable, Callable

from tercet_server.errors import reply_to
from tercet_server.protocol.responses.events import Lifecycle, StreamEvent
from tercet_server.protocol.responses.objects import ResponseObject
from tercet_server.services.answers import Answers
from tercet_server.services.responses.writer import ResponseWriter

Keep = Callable[[ResponseObject], Awaitable[None]]
"""Stores a response as it is now."""


class ResponseInProgress:
    """A response: read it by `chunks` or wait for `response`.

    Args:
        answers: what the assistant does.
        writer: puts it into words.
        keep: is called before the last event is told, so that who has read it can go on from it.
    """

    def __init__(self, answers: Answers, writer: ResponseWriter, keep: Keep) -> None:
        self._answers = answers
        self._writer = writer
        self._keep = keep

    async def chunks(self) -> AsyncIterator[StreamEvent]:
        """Every event; what goes wrong is told in one, and then raised.

        Raises:
            RequestTimedOut: the time is up.
            EngineError: the engine has given up.
        """
        for event in self._writer.begin():
            yield event
        try:
            async for happened in self._answers.events():
                for event in self._writer.add(happened):
                    yield event
        except Exception as error:
            yield await self._kept(self._writer.fail(reply_to(error), self._answers.usage()))
            raise
        for event in self._writer.end(self._answers.usage()):
            yield await self._kept(event) if isinstance(event, Lifecycle) else event

    async def response(self) -> ResponseObject:
        """The response once it is whole. Raises what `chunks` raises."""
        response = self.snapshot()
        async for event in self.chunks():
            if isinstance(event, Lifecycle):
                response = event.response
        return response

    async def cancelled(self) -> Lifecycle:
        """Give it up for good."""
        self.close()
        return await self._kept(self._writer.cancel(self._answers.usage()))

    def snapshot(self) -> ResponseObject:
        """The response as it is now."""
        return self._writer.snapshot()

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""
        self._answers.close()

    async def _kept(self, event: Lifecycle) -> Lifecycle:
        await self._keep(event.response)
        return event
