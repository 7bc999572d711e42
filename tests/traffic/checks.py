"""What must hold of every answer, whatever was asked."""

import json

import httpx
from pydantic import BaseModel

from tercet_server.reference.document import OPERATIONS
from tests.traffic.requests import Sent

MAX_ERROR_BYTES = 4096


def faults_of(sent: Sent, response: httpx.Response) -> list[str]:
    """What is wrong with an answer, in words."""
    status = response.status_code
    wanted = ("x-request-id", "x-content-type-options")
    found = [f"no {name}" for name in wanted if name not in response.headers]
    if status >= 500:
        found.append(f"status {status}")
    if "server" in response.headers or "location" in response.headers:
        found.append("a header that tells too much")
    if sent.method == "HEAD":
        return [*found, *(["a body for HEAD"] if response.content else [])]
    if status >= 400:
        found += faults_of_error(sent.path, response)
    elif sent.is_documented:
        found += faults_of_answer(sent, response)
    return found


def faults_of_error(path: str, response: httpx.Response) -> list[str]:
    if len(response.content) > MAX_ERROR_BYTES:
        return [f"an error of {len(response.content)} bytes"]
    try:
        body = response.json()
    except ValueError:
        return ["an error that is not JSON"]
    match body:
        case {"error": str()}:
            is_right = path.startswith("/api/")
        case {"type": "error", "error": {"type": str(), "message": str()}}:
            is_right = path.startswith("/v1/messages")
        case {"error": {"message": str(), "type": str(), "param": _, "code": _}}:
            is_right = not path.startswith(("/v1/messages", "/api/"))
        case _:
            is_right = False
    return [] if is_right else [f"an error in another's form: {json.dumps(body)[:200]}"]


def faults_of_answer(sent: Sent, response: httpx.Response) -> list[str]:
    operation = OPERATIONS.get((sent.method.lower(), sent.template))
    media_type = response.headers.get("content-type", "").partition(";")[0]
    if operation is None or media_type not in {"application/json", "text/event-stream"}:
        return []
    if media_type == "application/json":
        if operation.answers and not any(_fits(kind, response) for kind in operation.answers):
            return [f"an answer that is none: {response.text[:300]}"]
        return []
    if not response.text.rstrip().endswith(("[DONE]", "}")):
        return ["a stream that breaks off"]
    return []


def _fits(kind: type[BaseModel], response: httpx.Response) -> bool:
    try:
        kind.model_validate_json(response.content)
    except ValueError:
        return False
    return True
