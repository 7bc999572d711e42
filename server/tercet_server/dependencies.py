"""What routes ask for by type: the models, the way to each, the record of the request at hand.

All are coroutines, though none waits: FastAPI would send plain functions to another thread.
"""

from typing import Annotated

from fastapi import Depends, Request

from tercet_server.errors import InvalidApiKey
from tercet_server.key_file import digest_of
from tercet_server.key_ring import KeyRing, given_key
from tercet_server.lifecycle import Lifecycle
from tercet_server.logs import Logger
from tercet_server.record import RequestRecord
from tercet_server.served_models import ServedModels
from tercet_server.services.admission import Admissions
from tercet_server.services.responses.service import ResponseService
from tercet_server.settings import Settings


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


async def _models(lifecycle: LifecycleDep) -> ServedModels:
    return lifecycle.models


ModelsDep = Annotated[ServedModels, Depends(_models)]


async def _admissions(settings: SettingsDep, models: ModelsDep) -> Admissions:
    return Admissions(
        models,
        max_prompt_chars=settings.max_prompt_chars,
        timeout_seconds=settings.request_timeout_seconds,
        max_output_tokens=settings.max_output_tokens,
        has_queue_limit=settings.queue_timeout is not None,
    )


AdmissionsDep = Annotated[Admissions, Depends(_admissions)]


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
    request: Request, admissions: AdmissionsDep, owner: OwnerDep, logger: LoggerDep
) -> ResponseService:
    state = request.app.state
    return ResponseService(admissions, state.response_store, state.response_runs, owner, logger)


ResponseServiceDep = Annotated[ResponseService, Depends(_response_service)]
