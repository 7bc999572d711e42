"""POST /v1/messages and /v1/messages/count_tokens, as Anthropic has them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tercet_server.body import json_body
from tercet_server.dependencies import AdmissionsDep, RecordDep
from tercet_server.protocol.messages import CountTokensRequest, MessagesRequest
from tercet_server.responses import json_response
from tercet_server.routes.answer import send_answer
from tercet_server.services.chat import ChatService
from tercet_server.services.messages import MessagesService

router = APIRouter()

MessagesBody = Annotated[MessagesRequest, Depends(json_body(MessagesRequest))]
CountTokensBody = Annotated[CountTokensRequest, Depends(json_body(CountTokensRequest))]


@router.post("/messages", response_model=None)
async def create_message(
    request: Request, body: MessagesBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Answer a conversation."""
    service = MessagesService(ChatService(admissions.to(body.model)))
    answer = await service.start(body, record)
    return await send_answer(request, answer, stream=bool(body.stream))


@router.post("/messages/count_tokens", response_model=None)
async def count_tokens(
    body: CountTokensBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Say how long a conversation is."""
    service = MessagesService(ChatService(admissions.to(body.model)))
    return json_response(await service.count(body, record))
