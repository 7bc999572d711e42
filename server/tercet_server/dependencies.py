"""What routes ask for by type: the engine, the services, the record of the request at hand.

All are coroutines, though none waits: FastAPI would send plain functions to another thread.
"""

from typing import Annotated, Final

from fastapi import Depends, Request

from tercet_engine import AsyncEngine
from tercet_server.errors import InvalidApiKey
from tercet_server.key_file import digest_of
from tercet_server.key_ring import KeyRing, given_key
from tercet_server.lifecycle import Lifecycle
from tercet_server.logs import Logger
from tercet_server.record import RequestRecord
from tercet_server.services.admission import Admission
from tercet_server.services.chat import ChatService
from tercet_server.services.completions import CompletionService
from tercet_server.services.decisions import DecisionService
from tercet_server.services.embeddings import EmbeddingService
from tercet_server.services.responses.service import ResponseService
from tercet_server.services.tokenize import TokenizeService
from tercet_server.settings import Settings

_CHARS_PER_TOKEN: Final = 32


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _lifecycle(request: Request) -> Lifecycle:
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


async def _logger(request: Request) -> Logger:
    logger: Logger = request.app.state.logger
    return logger


async def _record(request: Request) -> RequestRecord:
    record: RequestRecord = request.state.record
    return record


SettingsDep = Annotated[Settings, Depends(_settings)]
LifecycleDep = Annotated[Lifecycle, Depends(_lifecycle)]
LoggerDep = Annotated[Logger, Depends(_logger)]
RecordDep = Annotated[RequestRecord, Depends(_record)]


async def _engine(lifecycle: LifecycleDep) -> AsyncEngine:
    return lifecycle.engine


EngineDep = Annotated[AsyncEngine, Depends(_engine)]


async def _model_names(settings: SettingsDep, engine: EngineDep) -> tuple[str, ...]:
    return settings.served_model_name or (engine.info.model_id,)


ModelNamesDep = Annotated[tuple[str, ...], Depends(_model_names)]


async def _admission(settings: SettingsDep, engine: EngineDep, names: ModelNamesDep) -> Admission:
    context = engine.info.max_context_tokens
    return Admission(
        engine=engine,
        model_names=names,
        max_prompt_chars=settings.max_prompt_chars or _CHARS_PER_TOKEN * context,
        timeout_seconds=settings.request_timeout_seconds,
        max_output_tokens=settings.max_output_tokens,
        has_queue_limit=settings.queue_timeout is not None,
    )


AdmissionDep = Annotated[Admission, Depends(_admission)]


async def _chat_service(admission: AdmissionDep) -> ChatService:
    return ChatService(admission)


async def _completion_service(admission: AdmissionDep) -> CompletionService:
    return CompletionService(admission)


async def _embedding_service(admission: AdmissionDep) -> EmbeddingService:
    return EmbeddingService(admission)


async def _decision_service(admission: AdmissionDep) -> DecisionService:
    return DecisionService(admission)


async def _tokenize_service(admission: AdmissionDep) -> TokenizeService:
    return TokenizeService(admission)


ChatServiceDep = Annotated[ChatService, Depends(_chat_service)]
CompletionServiceDep = Annotated[CompletionService, Depends(_completion_service)]
EmbeddingServiceDep = Annotated[EmbeddingService, Depends(_embedding_service)]
DecisionServiceDep = Annotated[DecisionService, Depends(_decision_service)]
TokenizeServiceDep = Annotated[TokenizeService, Depends(_tokenize_service)]


async def check_api_key(request: Request) -> None:
    """Let pass who sends one of the keys, or everybody where there are none.

    Raises:
        InvalidApiKey: the key is missing or wrong.
    """
    ring: KeyRing = request.app.state.keys
    if ring.is_open:
        return
    given = given_key(request.headers)
    if not given:
        message = "no API key was given; send the header 'Authorization: Bearer YOUR_KEY'"
        raise InvalidApiKey(message)
    if ring.find(given) is None:
        message = "the API key is not one of this server's"
        raise InvalidApiKey(message)


async def _owner(request: Request) -> str:
    """Who asks, as far as keys tell: a digest; "" where none are needed.

    Of a key that has a name, the digest is the name's, so that a new key finds what the old stored.
    """
    ring: KeyRing = request.app.state.keys
    if ring.is_open:
        return ""
    given = given_key(request.headers)
    key = ring.find(given)
    known_by = f"name:{key.name}".encode() if key and key.name else given
    return digest_of(known_by).hex()


OwnerDep = Annotated[str, Depends(_owner)]


async def _response_service(
    request: Request, chat: ChatServiceDep, owner: OwnerDep, logger: LoggerDep
) -> ResponseService:
    state = request.app.state
    return ResponseService(chat, state.response_store, state.response_runs, owner, logger)


ResponseServiceDep = Annotated[ResponseService, Depends(_response_service)]
