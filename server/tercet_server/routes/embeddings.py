"""POST /v1/embeddings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tercet_server.body import json_body
from tercet_server.dependencies import AdmissionsDep, RecordDep
from tercet_server.protocol.embeddings import EmbeddingRequest
from tercet_server.routes.answer import send_whole
from tercet_server.services.embeddings import EmbeddingService

router = APIRouter()

EmbeddingBody = Annotated[EmbeddingRequest, Depends(json_body(EmbeddingRequest))]


@router.post("/embeddings", response_model=None)
async def create_embeddings(
    request: Request, body: EmbeddingBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Turn texts into vectors."""
    service = EmbeddingService(admissions.to(body.model))
    return await send_whole(request, service.embed(body, record))
