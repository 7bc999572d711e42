"""POST /v1/embeddings."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tercet_server.body import json_body
from tercet_server.dependencies import EmbeddingServiceDep, RecordDep
from tercet_server.protocol.embeddings import EmbeddingRequest
from tercet_server.routes.answer import send_whole

router = APIRouter()

EmbeddingBody = Annotated[EmbeddingRequest, Depends(json_body(EmbeddingRequest))]


@router.post("/embeddings", response_model=None)
async def create_embeddings(
    request: Request, body: EmbeddingBody, service: EmbeddingServiceDep, record: RecordDep
) -> Response:
    """Turn texts into vectors."""
    return await send_whole(request, service.embed(body, record))
