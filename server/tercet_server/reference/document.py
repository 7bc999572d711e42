"""Builds the OpenAPI document: paths from the routes, the rest from the table of operations.

FastAPI finds the routes, their path parameters and no bodies, because the server reads these by its
own models. What it finds is completed here; a route that the table does not know keeps its bare
entry, and a test does not let that happen.
"""

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, cast

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from starlette.routing import BaseRoute
from typing_extensions import override

from tercet_server.dialects import dialect_of
from tercet_server.errors import KINDS, ErrorKind, ErrorReply
from tercet_server.reference.elsewhere import ANTHROPIC, OLLAMA
from tercet_server.reference.fields import FIELDS
from tercet_server.reference.generation import GENERATION
from tercet_server.reference.operation import Operation, Operations
from tercet_server.reference.responses import RESPONSES
from tercet_server.reference.running import RUNNING
from tercet_server.reference.tokens import TOKENS
from tercet_server.version import package_version

OPERATIONS: Final[Operations] = {
    **GENERATION,
    **RESPONSES,
    **TOKENS,
    **ANTHROPIC,
    **OLLAMA,
    **RUNNING,
}
WORK: Final[Mapping[str, str]] = {
    path: operation.work for (_, path), operation in OPERATIONS.items() if operation.work
}
"""What an engine does for whoever posts to a path."""

_ABOUT: Final = (
    "Ternary language models on CPUs, behind the APIs that clients already speak. Fields that no "
    "answer depends on are ignored; those that ask for what this server does not have are refused "
    "in words. Every list, text and number has a bound, and errors say it."
)
_JSON: Final = "application/json"

Mode = Literal["validation", "serialization"]
Json = dict[str, Any]
References = Mapping[tuple[Any, Mode], Json]


class _PlainSchema(GenerateJsonSchema):
    """Without titles that only repeat the fields' names."""

    @override
    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    @override
    def get_title_from_name(self, name: str) -> str:
        return name


def build_document(routes: Sequence[BaseRoute]) -> Json:
    """The document of a server that has these routes."""
    document = get_openapi(
        title="Tercet",
        version=package_version(),
        description=_ABOUT,
        routes=routes,
        servers=[{"url": "/"}],
    )
    schemas, definitions = _schemas(OPERATIONS.values())
    for method, path, entry in _entries(document):
        operation = OPERATIONS.get((method, path))
        if operation:
            _complete(entry, path, operation, schemas)
    document["components"] = {
        "schemas": definitions,
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
    }
    return document


def _entries(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            yield method, path, entry


def _schemas(
    operations: Collection[Operation],
) -> tuple[References, Json]:
    """References to the models' schemas, and the schemas, fields described."""
    used: dict[tuple[Any, Mode], None] = {}
    for operation in operations:
        if operation.request:
            used[operation.request, "validation"] = None
        for model in (*operation.answers, *operation.pieces):
            used[model, "serialization"] = None
    references, whole = models_json_schema(
        list(used), ref_template="#/components/schemas/{model}", schema_generator=_PlainSchema
    )
    definitions = copy.deepcopy(whole.get("$defs", {}))
    for operation in operations:
        if operation.request:
            name = references[operation.request, "validation"]["$ref"].rpartition("/")[2]
            _describe(definitions[name], {**FIELDS, **operation.fields})
    return cast("References", references), definitions


def _describe(schema: Json, words: Mapping[str, str]) -> None:
    for name, part in schema["properties"].items():
        if name in words:
            part.setdefault("description", words[name])


def _complete(
    entry: Json,
    path: str,
    operation: Operation,
    schemas: References,
) -> None:
    entry.update(tags=[operation.tag], summary=operation.summary)
    if operation.request:
        entry["requestBody"] = {
            "required": True,
            "content": {
                _JSON: {
                    "schema": schemas[operation.request, "validation"],
                    "examples": {
                        name: {"summary": name, "value": body}
                        for name, body in operation.examples.items()
                    },
                }
            },
        }
    answers: Json = {}
    if operation.answers:
        answers[_JSON] = {"schema": _one_of(operation.answers, schemas)}
    if operation.pieces:
        answers[dialect_of(path).media_type] = {"schema": _one_of(operation.pieces, schemas)}
    entry["responses"] = {"200": {"description": "What was asked for", "content": answers}}
    if operation.is_bounded:
        entry["security"] = [{}, {"bearer": []}, {"x-api-key": []}]
        entry["responses"] |= dict(_errors(path))
    elif path == "/ready":
        entry["responses"] |= {"503": dict(_errors(path))["503"]}


def _one_of(models: Sequence[type[BaseModel]], schemas: References) -> Json:
    forms = [schemas[model, "serialization"] for model in models]
    return forms[0] if len(forms) == 1 else {"oneOf": forms}


def _errors(path: str) -> Iterator[tuple[str, Json]]:
    """Each status that an endpoint of the API may answer, with an example of its body."""
    kinds: dict[int, list[ErrorKind]] = {}
    for kind in KINDS.values():
        kinds.setdefault(kind.status, []).append(kind)
    for status, same in sorted(kinds.items()):
        if status == 499:  # seen by the log only
            continue
        codes = list(dict.fromkeys(str(kind.code) for kind in same))
        reply = ErrorReply(status, "what was wrong, in words", same[0].type, None, codes[0], {})
        body = dialect_of(path).error_body(reply)
        content = {_JSON: {"schema": _schema_of(body), "example": body}}
        yield str(status), {"description": ", ".join(codes), "content": content}


def _schema_of(value: object) -> Json:
    """The schema of an error's body: objects all the way down to texts that may be null."""
    if isinstance(value, Mapping):
        properties = {name: _schema_of(part) for name, part in value.items()}
        return {"type": "object", "properties": properties, "required": list(value)}
    return {"type": ["string", "null"]}
