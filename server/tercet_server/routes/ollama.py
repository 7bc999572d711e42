"""/api/...: what Ollama's clients ask for.

Models come and go there by request; here those that are served were chosen at the start, so what
would fetch, make or remove one is refused.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from tercet_server.body import json_body
from tercet_server.dependencies import AdmissionsDep, ModelsDep, RecordDep
from tercet_server.errors import InvalidRequest
from tercet_server.protocol.ollama import (
    OllamaChatRequest,
    OllamaEmbeddingsRequest,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaModelRequest,
)
from tercet_server.protocol.ollama_answer import OllamaVersion
from tercet_server.responses import json_response
from tercet_server.routes.answer import send_answer, send_whole
from tercet_server.services.admission import Admission, Admissions
from tercet_server.services.chat import ChatService
from tercet_server.services.embeddings import EmbeddingService
from tercet_server.services.ollama import OllamaService
from tercet_server.services.ollama_embed import OllamaEmbedService
from tercet_server.services.ollama_models import OllamaModelsService
from tercet_server.services.ollama_request import own_name

API_VERSION: Final = "0.13.0"
"""Of the Ollama whose API this is: clients ask for a version that has what they need."""

router = APIRouter()

ChatBody = Annotated[OllamaChatRequest, Depends(json_body(OllamaChatRequest))]
GenerateBody = Annotated[OllamaGenerateRequest, Depends(json_body(OllamaGenerateRequest))]
EmbedBody = Annotated[OllamaEmbedRequest, Depends(json_body(OllamaEmbedRequest))]
EmbeddingsBody = Annotated[OllamaEmbeddingsRequest, Depends(json_body(OllamaEmbeddingsRequest))]
ModelBody = Annotated[OllamaModelRequest, Depends(json_body(OllamaModelRequest))]


@router.post("/chat", response_model=None)
async def chat(
    request: Request, body: ChatBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Answer a conversation."""
    service = OllamaService(ChatService(_admission(admissions, body.model)))
    answer = await service.start_chat(body, record)
    return await send_answer(request, answer, stream=body.stream is not False)


@router.post("/generate", response_model=None)
async def generate(
    request: Request, body: GenerateBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Answer a prompt, or continue it."""
    service = OllamaService(ChatService(_admission(admissions, body.model)))
    answer = await service.start_generate(body, record)
    return await send_answer(request, answer, stream=body.stream is not False)


@router.post("/embed", response_model=None)
async def embed(
    request: Request, body: EmbedBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Turn texts into vectors."""
    service = OllamaEmbedService(EmbeddingService(_admission(admissions, body.model)))
    return await send_whole(request, service.embed(body, record))


@router.post("/embeddings", response_model=None)
async def embed_one(
    request: Request, body: EmbeddingsBody, admissions: AdmissionsDep, record: RecordDep
) -> Response:
    """Turn one text into a vector."""
    service = OllamaEmbedService(EmbeddingService(_admission(admissions, body.model)))
    return await send_whole(request, service.embed_one(body, record))


@router.get("/tags", response_model=None)
async def tags(models: ModelsDep) -> Response:
    """The models there are."""
    return json_response(OllamaModelsService(models).installed())


@router.get("/ps", response_model=None)
async def running(models: ModelsDep) -> Response:
    """The models in memory."""
    return json_response(OllamaModelsService(models).running())


@router.post("/show", response_model=None)
async def show(body: ModelBody, models: ModelsDep) -> Response:
    """All about a model."""
    return json_response(OllamaModelsService(models).show(body.model or body.name))


@router.get("/version", response_model=None)
async def version() -> Response:
    """Which Ollama's API is spoken."""
    return json_response(OllamaVersion(version=API_VERSION))


@router.post("/pull", response_model=None, include_in_schema=False)
@router.post("/push", response_model=None, include_in_schema=False)
@router.post("/create", response_model=None, include_in_schema=False)
@router.post("/copy", response_model=None, include_in_schema=False)
@router.delete("/delete", response_model=None, include_in_schema=False)
async def refuse_to_change_models() -> Response:
    """Say that there is no other model to be had."""
    message = (
        "this server serves the models it was started with and fetches, makes or removes none; "
        "start it with those you want: tercet serve MODEL..."
    )
    raise InvalidRequest(message)


def _admission(admissions: Admissions, name: str | None) -> Admission:
    return admissions.to(own_name(name, admissions.models))
