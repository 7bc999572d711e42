"""Operations for those who run the server."""

from typing import Final

from tercet_server.reference.operation import Operation, Operations

RUNNING: Final[Operations] = {
    ("get", "/health"): Operation("Server", "Whether the process is sound; takes no key"),
    ("get", "/ready"): Operation("Server", "Whether a request would be taken; takes no key"),
    ("get", "/metrics"): Operation("Server", "Numbers in Prometheus' text form; takes no key"),
    ("get", "/openapi.json"): Operation("Server", "This document; takes no key"),
}
