"""POST /v1/chat/completions."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from tercet_server.body import ChatBody
from tercet_server.dependencies import ChatServiceDep, RecordDep
from tercet_server.routes.answer import send_answer

router = APIRouter()


@router.post("/chat/completions", response_model=None)
async def create_chat_completion(
    request: Request, body: ChatBody, service: ChatServiceDep, record: RecordDep
) -> Response:
    """Answer a conversation."""
    answer = await service.start(body, record)
    return await send_answer(request, answer, stream=bool(body.stream))
