"""Opens the store of responses that the settings ask for."""

import sqlite3

from tercet_server.services.store import ResponseStore, StoreLimits
from tercet_server.settings import InvalidSettings, Settings

_SECONDS_PER_DAY = 86_400


def open_store(settings: Settings) -> ResponseStore | None:
    """The store; None: responses are not to be kept.

    Raises:
        InvalidSettings: its file cannot be opened.
    """
    if not settings.store:
        return None
    limits = StoreLimits(
        max_responses=settings.store_responses,
        max_bytes=int(settings.store_bytes),
        max_seconds=settings.store_days * _SECONDS_PER_DAY,
    )
    try:
        return ResponseStore(settings.store_path, limits)
    except (OSError, sqlite3.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        name = f"--store-path (TERCET_STORE_PATH) {settings.store_path}"
        advice = (
            "name another file" if isinstance(error, OSError) else "move it away, or name another"
        )
        message = f"{name} cannot hold responses: {reason}; {advice}"
        raise InvalidSettings(message) from error
