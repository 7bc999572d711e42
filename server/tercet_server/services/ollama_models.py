"""/api/tags, /api/show and /api/ps without HTTP: the one model there is, as Ollama lists models."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from tercet_server.protocol.ollama_answer import (
    OllamaDetails,
    OllamaModel,
    OllamaModelInfo,
    OllamaModels,
)
from tercet_server.services.admission import Admission
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
    """Tells of the model, under each of its names."""

    admission: Admission

    def installed(self) -> OllamaModels:
        """The models that can be asked for."""
        modified = {"modified_at": timestamp(self.admission.engine.info.created)}
        return OllamaModels(models=[self._model(n, modified) for n in self.admission.model_names])

    def running(self) -> OllamaModels:
        """The models in memory, which are the same. They stay there."""
        fields = {
            "expires_at": _NEVER,
            "size_vram": 0,
            "context_length": self.admission.engine.info.max_context_tokens,
        }
        return OllamaModels(models=[self._model(n, fields) for n in self.admission.model_names])

    def show(self, name: str | None) -> OllamaModelInfo:
        """All about a model.

        Raises:
            UnknownModel: it is not served here.
        """
        engine = self.admission.engine
        info, template = engine.info, engine.chat_template
        own = self.admission.check_model(own_name(name, self.admission.model_names))
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
            capabilities=self._capabilities(),
            modified_at=timestamp(info.created),
        )

    def _capabilities(self) -> list[str]:
        engine = self.admission.engine
        if engine.chat_template is None:
            return ["completion"]
        thinks = thinking_of(engine.chat_template, engine.tokenizer) is not None
        return ["completion", "tools", *(["thinking"] if thinks else [])]

    def _model(self, name: str, fields: dict[str, Any]) -> OllamaModel:
        info = self.admission.engine.info
        return OllamaModel(
            name=tagged_name(name),
            model=tagged_name(name),
            size=info.weight_bytes,
            digest=hashlib.sha256(f"{info.model_id} {info.fingerprint}".encode()).hexdigest(),
            details=_DETAILS,
            **fields,
        )
