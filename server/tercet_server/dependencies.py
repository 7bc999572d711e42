"""What routes ask for by type: the models, the way to each, the record of the request at hand.

All are coroutines, though none waits: FastAPI would send plain functions to another thread.
"""

import hashlib
import hmac
from typing import Annotated

from fastapi import Depends, Request

from tercet_server.errors import InvalidApiKey
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
    return Admissions(models, settings.max_prompt_chars, settings.request_timeout_seconds)


AdmissionsDep = Annotated[Admissions, Depends(_admissions)]


async def check_api_key(request: Request, settings: SettingsDep) -> None:
    """Let pass who sends one of the keys, or everybody where there are none.

    Every key is compared, each in constant time, so that the time taken tells nothing of them.

    Raises:
        InvalidApiKey: the key is missing or wrong.
    """
    if not settings.api_key:
        return
    given = _given_key(request)
    if not given:
        message = "no API key was given; send the header 'Authorization: Bearer YOUR_KEY'"
        raise InvalidApiKey(message)
    given_digest = hashlib.sha256(given).digest()
    keys = [key.get_secret_value().encode() for key in settings.api_key]
    matches = [hmac.compare_digest(given_digest, hashlib.sha256(k).digest()) for k in keys]
    if not any(matches):
        message = "the API key is not one of this server's"
        raise InvalidApiKey(message)


def _given_key(request: Request) -> bytes:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.headers.get("x-api-key", "")  # Anthropic's clients send it so
    return given.strip().encode("latin-1")


async def _owner(request: Request, settings: SettingsDep) -> str:
    """Who asks, as far as keys tell: a digest of theirs; "" where none are needed."""
    return hashlib.sha256(_given_key(request)).hexdigest() if settings.api_key else ""


OwnerDep = Annotated[str, Depends(_owner)]


async def _response_service(
    request: Request, admissions: AdmissionsDep, owner: OwnerDep, logger: LoggerDep
) -> ResponseService:
    state = request.app.state
    return ResponseService(admissions, state.response_store, state.response_runs, owner, logger)


ResponseServiceDep = Annotated[ResponseService, Depends(_response_service)]
