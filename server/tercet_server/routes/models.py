"""GET /v1/models and /v1/models/{id}."""

from fastapi import APIRouter
from starlette.responses import Response

from tercet_engine import EngineInfo
from tercet_server.dependencies import ModelsDep
from tercet_server.protocol.models import ModelCard, ModelList
from tercet_server.responses import json_response

router = APIRouter()


@router.get("/models", response_model=None)
async def list_models(models: ModelsDep) -> Response:
    """Every name of every model, aliases too."""
    cards = [_card(name, model.engine.info) for name, model in models.listed.items()]
    return json_response(ModelList(object="list", data=cards))


@router.get("/models/{name:path}", response_model=None)
async def get_model(name: str, models: ModelsDep) -> Response:
    """One of them; names may hold slashes."""
    return json_response(_card(name, models.pick(name).engine.info))


def _card(name: str, info: EngineInfo) -> ModelCard:
    return ModelCard(
        id=name,
        object="model",
        created=info.created,
        owned_by="tercet",
        max_model_len=info.max_context_tokens,
    )
