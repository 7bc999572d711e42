"""POST /v1/completions."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from tercet_server.body import CompletionBody
from tercet_server.dependencies import CompletionServiceDep, RecordDep
from tercet_server.routes.answer import send_answer

router = APIRouter()


@router.post("/completions", response_model=None)
async def create_completion(
    request: Request, body: CompletionBody, service: CompletionServiceDep, record: RecordDep
) -> Response:
    """Continue one text or several."""
    answer = await service.start(body, record)
    return await send_answer(request, answer, stream=bool(body.stream))
