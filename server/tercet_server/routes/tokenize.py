"""The tokenizer's endpoints, at the root as elsewhere, and under /v1."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from tercet_server.body import ChatBody, json_body
from tercet_server.dependencies import TokenizeServiceDep
from tercet_server.protocol.tokenize import DetokenizeRequest, MessagesRequest, TokenizeRequest
from tercet_server.responses import json_response

router = APIRouter()
counts = APIRouter()

TokenizeBody = Annotated[TokenizeRequest, Depends(json_body(TokenizeRequest))]
DetokenizeBody = Annotated[DetokenizeRequest, Depends(json_body(DetokenizeRequest))]
MessagesBody = Annotated[MessagesRequest, Depends(json_body(MessagesRequest))]


@router.post("/tokenize", response_model=None)
async def tokenize(body: TokenizeBody, service: TokenizeServiceDep) -> Response:
    """Cut a text or a conversation into tokens."""
    return json_response(await service.tokenize(body))


@router.post("/detokenize", response_model=None)
async def detokenize(body: DetokenizeBody, service: TokenizeServiceDep) -> Response:
    """Put tokens together to a text."""
    return json_response(await service.detokenize(body))


@router.post("/apply-template", response_model=None)
async def apply_template(body: MessagesBody, service: TokenizeServiceDep) -> Response:
    """Show the prompt that messages become."""
    return json_response(await service.render(body))


@router.get("/tokenizer_info", response_model=None)
async def tokenizer_info(service: TokenizeServiceDep) -> Response:
    """Tell of the tokenizer and the chat template."""
    return json_response(service.info())


@counts.post("/chat/completions/input_tokens", response_model=None)
async def count_chat_tokens(body: ChatBody, service: TokenizeServiceDep) -> Response:
    """Count the tokens of a chat request's prompt."""
    return json_response(await service.count(body))
