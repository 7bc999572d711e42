"""GET /v1/models and /v1/models/{id}."""

from fastapi import APIRouter
from starlette.responses import Response

from tercet_engine import EngineInfo
from tercet_server.dependencies import EngineDep, ModelNamesDep
from tercet_server.errors import UnknownModel
from tercet_server.protocol.models import ModelCard, ModelList
from tercet_server.responses import json_response

router = APIRouter()


@router.get("/models", response_model=None)
async def list_models(engine: EngineDep, names: ModelNamesDep) -> Response:
    """Every name under which the model answers."""
    cards = [_card(name, engine.info) for name in names]
    return json_response(ModelList(object="list", data=cards))


@router.get("/models/{name:path}", response_model=None)
async def get_model(name: str, engine: EngineDep, names: ModelNamesDep) -> Response:
    """One of them; names may hold slashes."""
    if name not in names:
        raise UnknownModel(name, names)
    return json_response(_card(name, engine.info))


def _card(name: str, info: EngineInfo) -> ModelCard:
    return ModelCard(
        id=name,
        object="model",
        created=info.created,
        owned_by="tercet",
        max_model_len=info.max_context_tokens,
    )
