"""Answers as streams, framed in the dialect of the API that was asked.

Keep-alives fill the silence. An error after the first byte is one more event and the end, without
the mark of a whole answer. Headers tell proxies to hold nothing back. However a stream ends, what
it was still computing is given up.
"""

from collections.abc import AsyncIterator
from typing import Final, Protocol

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.types import Receive, Scope, Send
from typing_extensions import override

from tercet_server.dialects import Dialect
from tercet_server.errors import reply_to
from tercet_server.logs import Logger
from tercet_server.protocol.common import ResponseModel
from tercet_server.record import RequestRecord
from tercet_server.settings import Settings

_NEVER_SECONDS: Final = 86_400.0
_GRACE_SECONDS: Final = 5.0
"""Beyond the drain's deadline, by which the engine has ended every stream with an error event."""


class ChunkSource(Protocol):
    """An answer in progress."""

    def chunks(self) -> AsyncIterator[ResponseModel]:
        """Tell the answer piece by piece."""

    def close(self) -> None:
        """Give up what is still being computed; does nothing when nothing is."""


class ClientStalled(Exception):
    """A client has not taken in anything for too long; its stream is cut."""


class EventStream(EventSourceResponse):
    """The streamed form of an answer."""

    def __init__(
        self,
        source: ChunkSource,
        dialect: Dialect,
        settings: Settings,
        record: RequestRecord,
        logger: Logger,
    ) -> None:
        self._record = record
        self._dialect = dialect
        super().__init__(
            self._events(source, logger),
            sep="\n",
            media_type=dialect.media_type,
            ping=settings.ping_seconds if dialect.keep_alive else _NEVER_SECONDS,
            ping_message_factory=self._keep_alive,
            send_timeout=settings.stalled_client_seconds,
            # On shutdown streams end by the engine's word, not by being cancelled here.
            shutdown_event=anyio.Event(),
            shutdown_grace_period=settings.drain_seconds + _GRACE_SECONDS,
        )
        self._source = source
        self._is_told = False

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            raise ClientStalled from None
        finally:  # also where the first event was never asked for
            self._source.close()
        if not self._is_told:
            self._record.error_code = "client_left"

    async def _events(self, source: ChunkSource, logger: Logger) -> AsyncIterator[bytes]:
        num_events = 0
        try:
            async for chunk in source.chunks():
                yield self._dialect.event(chunk)
                num_events += 1
            if self._dialect.end:
                yield self._dialect.end
        except Exception as error:
            reply = reply_to(error)
            self._record.error_code = reply.code
            if reply.status == 500:
                logger.exception("stream_failed", request_id=self._record.request_id)
            yield self._dialect.error_event(reply, num_events)
        self._is_told = True

    def _keep_alive(self) -> ServerSentEvent:
        return self._dialect.keep_alive or ServerSentEvent()
