"""Creates responses, finds them again, and goes on from them."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tercet_engine import GenerationDefaults, PromptTooLong, RequestError
from tercet_server.errors import InvalidRequest, PromptTooLarge, UnknownResponse
from tercet_server.logs import Logger
from tercet_server.protocol.responses.items import Item, MessageItem
from tercet_server.protocol.responses.objects import (
    DeletedResponse,
    ItemList,
    ResponseFailure,
    ResponseObject,
)
from tercet_server.protocol.responses.request import CreateResponse
from tercet_server.protocol.tokenize import InputTokens
from tercet_server.record import RequestRecord
from tercet_server.services.admission import Admission, Admissions
from tercet_server.services.answers import Answers
from tercet_server.services.chat import ChatService
from tercet_server.services.responses.answer import Keep, ResponseInProgress
from tercet_server.services.responses.fitting import without_oldest
from tercet_server.services.responses.head import response_head
from tercet_server.services.responses.history import NO_STORE, NOT_STORED, History, stored_form
from tercet_server.services.responses.runs import Followed, Runs
from tercet_server.services.responses.translation import (
    Fields,
    chat_messages,
    chat_request,
    in_own_words,
)
from tercet_server.services.responses.writer import ResponseWriter
from tercet_server.services.store import ResponseStore, StoredResponse
from tercet_server.services.tokenize import TokenizeService


@dataclass(frozen=True, slots=True)
class ResponseService:
    """The responses of one client.

    Attributes:
        admissions: the way to each model.
        store: keeps responses; None: they are not kept.
        runs: goes on with those for which no client waits.
        owner: the client, as far as it can be told.
        logger: is told what cannot be kept.
    """

    admissions: Admissions
    store: ResponseStore | None
    runs: Runs
    owner: str
    logger: Logger

    async def start(
        self, request: CreateResponse, record: RequestRecord
    ) -> ResponseInProgress | Followed:
        """Check and admit a request. Whoever calls this must `close` what it returns.

        Raises:
            ServerError, EngineError: why it was not admitted.
        """
        told = record
        if request.background:
            self._check_background()
            record = record.in_background()
        admission = self.admissions.to(request.model)
        earlier, items = await self._conversation(request)
        answers = await self._admit(admission, request, [*earlier, *items], record)
        told.model, told.stream = answers.model, bool(request.stream)
        try:
            defaults = admission.engine.info.generation_defaults
            return await self._begin(request, items, answers, record, defaults)
        except BaseException:
            answers.close()
            raise

    async def count(self, request: CreateResponse) -> InputTokens:
        """Count the tokens that the model would read for a request, which is not answered.

        Raises:
            ServerError, EngineError: it cannot be made a prompt of.
        """
        admission = self.admissions.to(request.model)
        earlier, items = await self._conversation(request)
        asked = [*_instructions(request), *chat_messages([*earlier, *items])]
        try:
            return await TokenizeService(admission).count(chat_request(request, asked))
        except (InvalidRequest, RequestError) as error:
            raise in_own_words(error) from None

    async def retrieve(self, response_id: str) -> ResponseObject:
        """A response as it is now.

        Raises:
            UnknownResponse: there is none of that name.
            StoreUnavailable: it cannot be read.
        """
        if run := self.runs.find(response_id, self.owner):
            return run.snapshot()
        stored = await self._stored(response_id)
        response = ResponseObject.model_validate_json(stored.response)
        return _interrupted(response) if response.status in {"queued", "in_progress"} else response

    async def follow(self, response_id: str, after: int) -> Followed:
        """The events of a response behind the given number.

        Raises:
            UnknownResponse: there is none of that name.
            InvalidRequest: it is over.
        """
        if run := self.runs.find(response_id, self.owner):
            return Followed(run, after)
        await self._stored(response_id)
        words = "stream is only offered while a response is in progress in the background"
        raise InvalidRequest(f"{words}; this one is over: retrieve it without stream", "stream")

    async def cancel(self, response_id: str) -> ResponseObject:
        """Give up a response that goes on in the background; one that is over stays as it is.

        Raises:
            UnknownResponse: there is none of that name.
            InvalidRequest: its client waits for it, and gives it up by hanging up.
        """
        if run := self.runs.find(response_id, self.owner):
            return await run.cancel()
        response = await self.retrieve(response_id)
        if not response.background:
            words = "only responses that were created with background=true can be cancelled"
            raise InvalidRequest(words)
        return response

    async def delete(self, response_id: str) -> DeletedResponse:
        """Forget a response.

        Raises:
            UnknownResponse: there is none of that name.
        """
        run = self.runs.find(response_id, self.owner)
        if run:
            await run.cancel()
        was_stored = self.store is not None and await self.store.delete(self.owner, response_id)
        if not (run or was_stored):
            raise self._unknown(response_id)
        return DeletedResponse(id=response_id, object="response", deleted=True)

    async def input_items(
        self, response_id: str, *, after: str | None, limit: int, order: Literal["asc", "desc"]
    ) -> ItemList:
        """What the client sent for a response, a page of it.

        Raises:
            UnknownResponse: there is none of that name.
            InvalidRequest: there is no such item to go on behind.
        """
        items = json.loads((await self._stored(response_id)).input)
        if order == "desc":
            items.reverse()
        if after is not None:
            places = [index for index, item in enumerate(items) if item["id"] == after]
            if not places:
                words = "after must be the id of one of the response's input items"
                raise InvalidRequest(words, "after")
            items = items[places[0] + 1 :]
        page = items[:limit]
        return ItemList(
            object="list",
            data=page,
            first_id=page[0]["id"] if page else None,
            last_id=page[-1]["id"] if page else None,
            has_more=len(items) > limit,
        )

    async def _conversation(self, request: CreateResponse) -> tuple[list[Item], list[Item]]:
        """What was said in the responses before this one, and what is new."""
        history = History(self.store, self.owner)
        previous = request.previous_response_id
        earlier = await history.before(previous) if previous else []
        return earlier, await history.resolve(_items(request))

    async def _admit(
        self,
        admission: Admission,
        request: CreateResponse,
        items: Sequence[Item],
        record: RequestRecord,
    ) -> Answers:
        messages = chat_messages(items)
        while True:
            asked = [*_instructions(request), *messages]
            try:
                return await ChatService(admission).answer(chat_request(request, asked), record)
            except (PromptTooLong, PromptTooLarge) as error:
                fewer = without_oldest(messages, error, request.max_output_tokens)
                if request.truncation != "auto" or not fewer:
                    raise in_own_words(error) from None
                messages = fewer
            except (InvalidRequest, RequestError) as error:
                raise in_own_words(error) from None

    async def _begin(
        self,
        request: CreateResponse,
        items: Sequence[Item],
        answers: Answers,
        record: RequestRecord,
        defaults: GenerationDefaults,
    ) -> ResponseInProgress | Followed:
        response_id = f"resp_{uuid.uuid4().hex}"
        is_stored = request.is_stored and self.store is not None
        head = response_head(request, response_id, answers.model, defaults, is_stored=is_stored)
        scores = None if request.num_logprobs is None else answers.writer
        writer = ResponseWriter(head, len(items), scores)
        keep = self._keeper(stored_form(items, response_id) if is_stored else None, record)
        source = ResponseInProgress(answers, writer, keep)
        if not request.background:
            return source
        run = self.runs.begin(response_id, source, self.owner, record)
        await keep(head)  # before the run can: the store takes things in their order
        return Followed(run)

    def _keeper(self, own_input: str | None, record: RequestRecord) -> Keep:
        async def keep(response: ResponseObject) -> None:
            if self.store is None or own_input is None:
                return
            stored = StoredResponse(
                response.id, response.previous_response_id, own_input, response.to_json()
            )
            if not await self.store.put(self.owner, stored):
                self.logger.warning(
                    "response_not_stored", request_id=record.request_id, bytes=stored.size
                )

        return keep

    def _check_background(self) -> None:
        if self.store is None:
            raise InvalidRequest(f"background is not offered: {NO_STORE}", "background")
        self.runs.check_room()

    async def _stored(self, response_id: str) -> StoredResponse:
        stored = await self.store.get(self.owner, response_id) if self.store else None
        if stored is None:
            raise self._unknown(response_id)
        return stored

    def _unknown(self, response_id: str) -> UnknownResponse:
        return UnknownResponse(response_id, NOT_STORED if self.store else NO_STORE)


def _instructions(request: CreateResponse) -> list[Fields]:
    if not request.instructions:
        return []
    return [{"role": "system", "content": request.instructions}]


def _items(request: CreateResponse) -> Sequence[Item]:
    if isinstance(request.input, str):
        return [MessageItem(type="message", role="user", content=request.input)]
    return request.input or ()


def _interrupted(response: ResponseObject) -> ResponseObject:
    """A response that goes on nowhere: the server ended before it did."""
    error = ResponseFailure(code="server_error", message="the server was stopped meanwhile")
    return response.model_copy(update={"status": "failed", "error": error})
