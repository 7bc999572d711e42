"""POST /v1/decisions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tercet_server.body import json_body
from tercet_server.dependencies import AdmissionsDep, RecordDep
from tercet_server.protocol.decisions import DecisionRequest
from tercet_server.routes.answer import send_whole
from tercet_server.services.decisions import DecisionService

router = APIRouter()

DecisionBody = Annotated[DecisionRequest, Depends(json_body(DecisionRequest))]


@router.post("/decisions", response_model=None)
async def create_decision(
    request: Request, body: DecisionBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Answer questions by probabilities."""
    service = DecisionService(admissions.to(body.model))
    return await send_whole(request, service.decide(body, record))
