"""/v1/responses: create, retrieve, follow, cancel, delete, list the input."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from tercet_server.body import json_body
from tercet_server.dependencies import RecordDep, ResponseServiceDep
from tercet_server.protocol.responses.request import CreateResponse
from tercet_server.responses import json_response
from tercet_server.routes.answer import send_answer

router = APIRouter()

Body = Annotated[CreateResponse, Depends(json_body(CreateResponse))]


@router.post("/responses", response_model=None)
async def create_response(
    request: Request, body: Body, service: ResponseServiceDep, record: RecordDep
) -> Response:
    """Answer a conversation."""
    answer = await service.start(body, record)
    return await send_answer(request, answer, stream=bool(body.stream))


@router.post("/responses/input_tokens", response_model=None)
async def count_input_tokens(body: Body, service: ResponseServiceDep) -> Response:
    """Count the tokens that the model would read."""
    return json_response(await service.count(body))


@router.get("/responses/{response_id}", response_model=None)
async def get_response(
    request: Request,
    response_id: str,
    service: ResponseServiceDep,
    *,
    stream: bool = False,
    starting_after: Annotated[int, Query(ge=-1, le=2**31)] = -1,
) -> Response:
    """Find a response again, or follow one that is still in progress."""
    if stream:
        answer = await service.follow(response_id, starting_after)
        return await send_answer(request, answer, stream=True)
    return json_response(await service.retrieve(response_id))


@router.delete("/responses/{response_id}", response_model=None)
async def delete_response(response_id: str, service: ResponseServiceDep) -> Response:
    """Forget a response."""
    return json_response(await service.delete(response_id))


@router.post("/responses/{response_id}/cancel", response_model=None)
async def cancel_response(response_id: str, service: ResponseServiceDep) -> Response:
    """Give up a response that goes on in the background."""
    return json_response(await service.cancel(response_id))


@router.get("/responses/{response_id}/input_items", response_model=None)
async def list_input_items(
    response_id: str,
    service: ResponseServiceDep,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
) -> Response:
    """What the client sent for a response."""
    return json_response(
        await service.input_items(response_id, after=after, limit=limit, order=order)
    )
