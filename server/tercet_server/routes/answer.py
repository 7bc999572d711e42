"""How an answer in progress reaches its client, streamed or whole."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from fastapi import Request
from starlette.responses import Response

from tercet_server.dialects import dialect_of
from tercet_server.errors import ClientLeft
from tercet_server.protocol.common import ResponseModel
from tercet_server.responses import json_response
from tercet_server.sse import ChunkSource, EventStream

T = TypeVar("T")


class Answer(ChunkSource, Protocol):
    """An answer in progress that can also be waited for."""

    async def response(self) -> ResponseModel:
        """The whole answer."""


async def send_answer(request: Request, answer: Answer, *, stream: bool) -> Response:
    """Make an answer of what is being generated. It is given up when its client leaves."""
    if stream:
        await _until_started(request, answer)
        state = request.app.state
        dialect = dialect_of(request.url.path)
        return EventStream(answer, dialect, state.settings, request.state.record, state.logger)
    try:
        return json_response(await _unless_client_leaves(request, answer.response()))
    finally:
        answer.close()


async def _until_started(request: Request, answer: Answer) -> None:
    """Begin no stream that may yet be refused: its status could not say so any more."""
    until_started = request.state.record.until_started
    if until_started is None:
        return
    try:
        await _unless_client_leaves(request, until_started())
    except BaseException:
        answer.close()
        raise


async def send_whole(request: Request, work: Coroutine[Any, Any, ResponseModel]) -> Response:
    """Answer with what the work results in. It is given up when its client leaves."""
    return json_response(await _unless_client_leaves(request, work))


async def _unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do the work; stop and raise `ClientLeft` as soon as nobody waits for it."""
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_departure(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeft
        return task.result()
    finally:
        task.cancel()
        watch.cancel()


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
