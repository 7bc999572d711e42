"""The tokenizer's endpoints, at the root as elsewhere, and under /v1."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from tercet_server.body import ChatBody, json_body
from tercet_server.dependencies import AdmissionsDep
from tercet_server.protocol.base import MAX_NAME_CHARS
from tercet_server.protocol.tokenize import DetokenizeRequest, MessagesRequest, TokenizeRequest
from tercet_server.responses import json_response
from tercet_server.services.tokenize import TokenizeService

router = APIRouter()
counts = APIRouter()

TokenizeBody = Annotated[TokenizeRequest, Depends(json_body(TokenizeRequest))]
DetokenizeBody = Annotated[DetokenizeRequest, Depends(json_body(DetokenizeRequest))]
MessagesBody = Annotated[MessagesRequest, Depends(json_body(MessagesRequest))]


@router.post("/tokenize", response_model=None)
async def tokenize(body: TokenizeBody, admissions: AdmissionsDep) -> Response:
    """Cut a text or a conversation into tokens."""
    return json_response(await TokenizeService(admissions.to(body.model)).tokenize(body))


@router.post("/detokenize", response_model=None)
async def detokenize(body: DetokenizeBody, admissions: AdmissionsDep) -> Response:
    """Put tokens together to a text."""
    return json_response(await TokenizeService(admissions.to(body.model)).detokenize(body))


@router.post("/apply-template", response_model=None)
async def apply_template(body: MessagesBody, admissions: AdmissionsDep) -> Response:
    """Show the prompt that messages become."""
    return json_response(await TokenizeService(admissions.to(body.model)).render(body))


@router.get("/tokenizer_info", response_model=None)
async def tokenizer_info(
    admissions: AdmissionsDep, model: Annotated[str | None, Query(max_length=MAX_NAME_CHARS)] = None
) -> Response:
    """Tell of the tokenizer and the chat template."""
    return json_response(TokenizeService(admissions.to(model)).info())


@counts.post("/chat/completions/input_tokens", response_model=None)
async def count_chat_tokens(body: ChatBody, admissions: AdmissionsDep) -> Response:
    """Count the tokens of a chat request's prompt."""
    return json_response(await TokenizeService(admissions.to(body.model)).count(body))
