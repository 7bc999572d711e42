"""Tries the certificate and its key before anything listens, so that a mistake is told in words."""

import ssl
from pathlib import Path

from tercet_server.settings import InvalidSettings, Settings


class _IsProtected(Exception):
    """The key wants a passphrase, for which nobody may be there to ask."""


def check_tls(settings: Settings) -> None:
    """Return if the server can speak HTTPS with what the settings name, or need not.

    Raises:
        InvalidSettings: it cannot.
    """
    certificate, key = settings.tls_cert, settings.tls_key
    if certificate is None:
        return
    for flag, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if path is not None:
            _check_readable(flag, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=_refuse)
    except _IsProtected:
        message = "--tls-key: the key is protected by a passphrase; give it without one"
        raise InvalidSettings(message) from None
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        where = "--tls-cert" if key is None else "--tls-cert and --tls-key"
        message = f"{where}: no certificate with its key, as PEM, can be read from there ({reason})"
        raise InvalidSettings(message) from None


def _check_readable(flag: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        message = f"{flag} {path} cannot be read: {error.strerror or error}"
        raise InvalidSettings(message) from None


def _refuse() -> str:
    raise _IsProtected
