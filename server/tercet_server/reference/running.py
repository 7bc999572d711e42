"""Operations for those who run the server."""

from typing import Final

from tercet_server.reference.operation import SERVER_TAG, Operation, Operations

RUNNING: Final[Operations] = {
    ("get", "/health"): Operation(SERVER_TAG, "Whether the process is sound; takes no key"),
    ("get", "/ready"): Operation(SERVER_TAG, "Whether a request would be taken; takes no key"),
    ("get", "/metrics"): Operation(SERVER_TAG, "Numbers in Prometheus' text form; takes no key"),
    ("get", "/openapi.json"): Operation(SERVER_TAG, "This document; takes no key"),
}
