"""Keeps web pages from elsewhere out of a server that only its own host should reach.

A page can let its own name lead to 127.0.0.1 once it is loaded ("DNS rebinding"); to the browser
the server is then the page's own, and nothing else holds the page back. Its requests still carry
its name in Host. Addresses, names without a dot, and names that are set apart for hosts and
networks of one's own cannot be had that way, nor can this host's. A server that takes keys, or
listens on a network, is called by whatever name leads to it. A request without Host (HTTP/1.0) is
no browser's.
"""

import ipaddress
import socket
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from tercet_server.errors import UnknownHost
from tercet_server.responses import error_response
from tercet_server.settings import Settings

_OWN: Final = (".localhost", ".local", ".internal", ".home.arpa", ".test")
"""Endings that the public DNS never has (RFC 6761, 6762, 8375, and ICANN's for `.internal`): those
of containers (`host.docker.internal`), of mDNS and of routers' networks."""


class HostCheck:
    """ASGI middleware. Answers 403 to who calls the server by a name that is not its own.

    Args:
        app: what is within.
        names: dotted names by which the server may be called.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(map(_name_of, names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        hosts = Headers(scope=scope).getlist("host") if scope["type"] == "http" else []
        wrong = [host for host in hosts if not self._is_known(_name_of(host))]
        if not wrong:
            await self._app(scope, receive, send)
            return
        refusal = error_response(UnknownHost(wrong[0]), scope["state"]["record"], scope["path"])
        await refusal(scope, receive, send)

    def _is_known(self, name: str) -> bool:
        return name in self._names or "." not in name or _is_local(name)


def checked_names(settings: Settings) -> Collection[str] | None:
    """The names that a server may be called by; None: by any."""
    if settings.allowed_host:
        return None if "*" in settings.allowed_host else settings.allowed_host
    if settings.needs_key or not _is_loopback(settings.host):
        return None
    origins = [urlsplit(origin).hostname or "" for origin in settings.cors_origin]
    return [settings.host, socket.gethostname(), *origins]  # no getfqdn: it may ask, and wait


def _name_of(host: str) -> str:
    """Without the port, the brackets of an address, and the dot that ends a whole name."""
    name, _, port = host.strip().rpartition(":")
    if not name or not port.isascii() or not port.isdigit() or (":" in name and name[0] != "["):
        name = host.strip()
    return name.strip("[]").rstrip(".").lower()


def _is_local(name: str) -> bool:
    if name.endswith(_OWN):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
