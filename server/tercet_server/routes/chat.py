"""POST /v1/chat/completions."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from tercet_server.body import ChatBody
from tercet_server.dependencies import AdmissionsDep, RecordDep
from tercet_server.routes.answer import send_answer
from tercet_server.services.chat import ChatService

router = APIRouter()


@router.post("/chat/completions", response_model=None)
async def create_chat_completion(
    request: Request, body: ChatBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Answer a conversation."""
    service = ChatService(admissions.to(body.model))
    answer = await service.start(body, record)
    return await send_answer(request, answer, stream=bool(body.stream))
