"""GET /v1/models: what is being served."""

from typing import Literal

from tercet_server.protocol.common import ResponseModel


class ModelCard(ResponseModel):
    """One name under which the model answers."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    max_model_len: int
    """Prompt and answer together, in tokens; the name is the one that vLLM's clients read."""


class ModelList(ResponseModel):
    """All of them."""

    object: Literal["list"]
    data: list[ModelCard]
