"""Responses that are computed though no client may be waiting for them.

Each keeps its events until it is over, so that clients may come, leave, and come back. All are of
one event loop. What they end as is in the store.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from tercet_server.errors import InvalidRequest, TooManyRequests, reply_to
from tercet_server.logs import Logger
from tercet_server.protocol.responses.events import Lifecycle, StreamEvent
from tercet_server.protocol.responses.objects import ResponseObject
from tercet_server.record import RequestRecord
from tercet_server.services.responses.answer import ResponseInProgress


class Run:
    """One response that goes on by itself.

    Args:
        source: the response in progress.
        owner: whose it is.
        on_end: is told its end, which may be an error that nobody foresaw.
    """

    def __init__(
        self, source: ResponseInProgress, owner: str, on_end: Callable[[Exception | None], None]
    ) -> None:
        self.owner = owner
        self._source = source
        self._on_end = on_end
        self._events: list[StreamEvent] = []
        self._changed = asyncio.Event()
        self._is_over = False
        self._is_given_up = False
        self._task = asyncio.create_task(self._compute())

    def snapshot(self) -> ResponseObject:
        """The response as it is now."""
        last = self._events[-1] if self._events else None
        return last.response if isinstance(last, Lifecycle) else self._source.snapshot()

    async def follow(self, after: int = -1) -> AsyncIterator[StreamEvent]:
        """The events behind the given number, those to come too."""
        index = after + 1
        while True:
            changed = self._changed
            while index < len(self._events):
                yield self._events[index]
                index += 1
            if self._is_over:
                return
            await changed.wait()

    async def cancel(self) -> ResponseObject:
        """Give it up, if it is not over yet; the response it has ended as."""
        await asyncio.sleep(0)  # so that it has begun: a task that has not would never clean up
        if not self._is_given_up:  # a second word would cut short what the first has begun
            self._is_given_up = True
            self._task.cancel()
        await asyncio.wait({self._task})
        return self.snapshot()

    async def _compute(self) -> None:
        failure: Exception | None = None
        try:
            async for event in self._source.chunks():
                self._tell(event)
        except asyncio.CancelledError:
            self._tell(await self._source.cancelled())
        except Exception as error:  # noqa: BLE001 -- its event is told; `on_end` logs it
            failure = error
        finally:
            self._source.close()
            self._is_over = True
            self._changed.set()
            self._on_end(failure)

    def _tell(self, event: StreamEvent) -> None:
        self._events.append(event)
        self._changed.set()
        self._changed = asyncio.Event()


class Runs:
    """All of them.

    Args:
        max_runs: at the same time.
        logger: gets one line for each when it has ended.
    """

    def __init__(self, max_runs: int, logger: Logger) -> None:
        self._max_runs = max_runs
        self._logger = logger
        self._runs: dict[str, Run] = {}

    def check_room(self) -> None:
        """Return if one more may begin.

        Raises:
            InvalidRequest: none may ever.
            TooManyRequests: there are too many.
        """
        if not self._max_runs:
            words = "background is not offered by this server (--background-responses 0)"
            raise InvalidRequest(words, "background")
        if len(self._runs) >= self._max_runs:
            raise TooManyRequests(self._max_runs, "background responses")

    def begin(
        self, response_id: str, source: ResponseInProgress, owner: str, record: RequestRecord
    ) -> Run:
        """Let a response go on by itself. Raises what `check_room` raises."""
        self.check_room()

        def end(error: Exception | None) -> None:
            self._runs.pop(response_id, None)
            record.error_code = reply_to(error).code if error else None
            if record.error_code == "internal_error":
                self._logger.error("response_failed", request_id=record.request_id, exc_info=error)
            record.settle()
            self._logger.info("background_response", **record.fields())

        self._runs[response_id] = Run(source, owner, end)
        return self._runs[response_id]

    def find(self, response_id: str, owner: str) -> Run | None:
        """The response of that name, if it is its owner's and goes on."""
        run = self._runs.get(response_id)
        return run if run and run.owner == owner else None

    async def end(self) -> None:
        """Give up all that go on."""
        for run in list(self._runs.values()):
            await run.cancel()


class Followed:
    """A run as an answer to one client. That the client leaves does not end it.

    Args:
        run: goes on by itself.
        after: number of the last event that the client has.
    """

    def __init__(self, run: Run, after: int = -1) -> None:
        self._run = run
        self._after = after

    def chunks(self) -> AsyncIterator[StreamEvent]:
        """The events."""
        return self._run.follow(self._after)

    async def response(self) -> ResponseObject:
        """The response as it is now."""
        return self._run.snapshot()

    def close(self) -> None:
        """Nothing: the run goes on."""
