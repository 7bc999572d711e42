"""POST /v1/completions."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from tercet_server.body import CompletionBody
from tercet_server.dependencies import AdmissionsDep, RecordDep
from tercet_server.routes.answer import send_answer
from tercet_server.services.completions import CompletionService

router = APIRouter()


@router.post("/completions", response_model=None)
async def create_completion(
    request: Request, body: CompletionBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Continue one text or several."""
    service = CompletionService(admissions.to(body.model))
    answer = await service.start(body, record)
    return await send_answer(request, answer, stream=bool(body.stream))
