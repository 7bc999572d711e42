"""/api/tags, /api/show and /api/ps without HTTP: the models there are, as Ollama lists them."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from tercet_engine import AsyncEngine, EngineInfo
from tercet_server.protocol.ollama_answer import (
    OllamaDetails,
    OllamaModel,
    OllamaModelInfo,
    OllamaModels,
)
from tercet_server.served_models import ServedModels
from tercet_server.services.ollama_lines import timestamp
from tercet_server.services.ollama_request import own_name, tagged_name
from tercet_server.services.reasoning import thinking_of

_FAMILY: Final = "bitnet"
_NEVER: Final = "9999-12-31T23:59:59Z"
_DETAILS: Final = OllamaDetails(
    parent_model="",
    format="safetensors",
    family=_FAMILY,
    families=[_FAMILY],
    parameter_size="",
    quantization_level="ternary",
)


@dataclass(frozen=True, slots=True)
class OllamaModelsService:
    """Tells of each model, under each of its names."""

    models: ServedModels

    def installed(self) -> OllamaModels:
        """The models that can be asked for."""
        return OllamaModels(
            models=[
                _model(name, model.engine.info, modified_at=timestamp(model.engine.info.created))
                for name, model in self.models.listed.items()
            ]
        )

    def running(self) -> OllamaModels:
        """The models in memory, which are the same. They stay there."""
        return OllamaModels(
            models=[
                _model(
                    name,
                    model.engine.info,
                    expires_at=_NEVER,
                    size_vram=0,
                    context_length=model.engine.info.max_context_tokens,
                )
                for name, model in self.models.listed.items()
            ]
        )

    def show(self, name: str | None) -> OllamaModelInfo:
        """All about a model.

        Raises:
            UnknownModel: it is not served here.
        """
        known = own_name(name, self.models)
        model = self.models.pick(known)
        own, engine = known or model.name, model.engine
        info, template = engine.info, engine.chat_template
        defaults = info.generation_defaults
        parameters = {
            "temperature": defaults.temperature,
            "top_k": defaults.top_k,
            "top_p": defaults.top_p,
        }
        given = [f"{key} {value:g}" for key, value in parameters.items() if value is not None]
        return OllamaModelInfo(
            license="",
            modelfile="\n".join([f"FROM {own}", *(f"PARAMETER {line}" for line in given)]),
            parameters="\n".join(given),
            template=template.source if template else "",
            details=_DETAILS,
            model_info={
                "general.architecture": _FAMILY,
                "general.basename": own,
                f"{_FAMILY}.context_length": info.max_context_tokens,
                f"{_FAMILY}.embedding_length": info.hidden_size,
                f"{_FAMILY}.vocab_size": info.vocab_size,
            },
            capabilities=_capabilities(engine),
            modified_at=timestamp(info.created),
        )


def _capabilities(engine: AsyncEngine) -> list[str]:
    if engine.chat_template is None:
        return ["completion"]
    thinks = thinking_of(engine.chat_template, engine.tokenizer) is not None
    return ["completion", "tools", *(["thinking"] if thinks else [])]


def _model(name: str, info: EngineInfo, **fields: Any) -> OllamaModel:
    return OllamaModel(
        name=tagged_name(name),
        model=tagged_name(name),
        size=info.weight_bytes,
        digest=hashlib.sha256(f"{info.model_id} {info.fingerprint}".encode()).hexdigest(),
        details=_DETAILS,
        **fields,
    )
