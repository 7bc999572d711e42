"""What an answer must look like: OpenAI's `response_format`, and the fields other servers have.

Several spellings, one meaning: a JSON schema, a regular expression, a list of choices or a grammar.
A request may use one of them.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from tercet_server.protocol.base import MAX_NAME_CHARS, RequestModel, refuse

MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_CHOICES: Final = 1024

STRUCTURE_FIELDS: Final = (
    "json_schema",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "regex",
    "choice",
    "grammar",
)
"""Of a request, beside `response_format` and `structured_outputs`."""

Schema = dict[str, Any]
Text = Annotated[str, Field(max_length=MAX_SCHEMA_BYTES)]


def _tag_of_json(value: object) -> str | None:
    if isinstance(value, str):
        return "<text>"
    return "<object>" if isinstance(value, dict) else None


SchemaOrText = Annotated[
    Annotated[Schema, Tag("<object>")] | Annotated[Text, Tag("<text>")],
    Discriminator(
        _tag_of_json,
        custom_error_type="schema_type",
        custom_error_message="must be a JSON schema: an object, or its text",
    ),
]
Choices = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=4096)], ...],
    Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True),
]


class TextFormat(RequestModel):
    """Free text."""

    type: Literal["text"]


class JsonObjectFormat(RequestModel):
    """Any JSON object, or in llama.cpp's spelling what a schema describes."""

    type: Literal["json_object"]
    schema_: Annotated[Schema | None, Field(alias="schema")] = None


class NamedSchema(RequestModel):
    """A JSON schema and its name. It is enforced whether or not it is called strict."""

    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    description: Annotated[str, Field(max_length=65536)] | None = None
    schema_: Annotated[Schema | None, Field(alias="schema")] = None
    strict: bool | None = None


class JsonSchemaFormat(RequestModel):
    """JSON that validates."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


def _tag_of_format(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"<{kind}>" if kind in ("text", "json_object", "json_schema") else None


ResponseFormat = Annotated[
    Annotated[TextFormat, Tag("<text>")]
    | Annotated[JsonObjectFormat, Tag("<json_object>")]
    | Annotated[JsonSchemaFormat, Tag("<json_schema>")],
    Discriminator(
        _tag_of_format,
        custom_error_type="format_type",
        custom_error_message="must have the type 'text', 'json_object' or 'json_schema'",
    ),
]


class StructuredOutputs(RequestModel):
    """vLLM's spelling."""

    json_: Annotated[SchemaOrText | None, Field(alias="json")] = None
    regex: Text | None = None
    choice: Choices | None = None
    grammar: Text | None = None
    json_object: bool | None = None
    structural_tag: Any = None


class Structure(RequestModel):
    """What was asked for, in one form. `kind` is the language, `param` the field it came from."""

    kind: Literal["json_schema", "regex", "choice", "gbnf"]
    text: str
    param: str


def find_structure(
    response_format: object, structured: StructuredOutputs | None, fields: Mapping[str, Any]
) -> Structure | None:
    """The one structure that a request asks for.

    Args:
        response_format: a `ResponseFormat`, or None.
        structured: vLLM's field.
        fields: further spellings by name, those not given as None.

    Raises:
        PydanticCustomError: there are several.
    """
    found = [_of_format(response_format), *_of_structured(structured), *_of_fields(fields)]
    structures = [structure for structure in found if structure]
    if len(structures) > 1:
        refuse(structures[1].param, f"cannot be combined with {structures[0].param}; give one")
    return structures[0] if structures else None


def _of_format(response_format: object) -> Structure | None:
    match response_format:
        case JsonObjectFormat(schema_=schema) if schema is not None:
            return schema_structure(schema, "response_format.schema")
        case JsonObjectFormat():
            return schema_structure({"type": "object"}, "response_format")
        case JsonSchemaFormat(json_schema=NamedSchema(schema_=schema)):
            given = {"type": "object"} if schema is None else schema
            return schema_structure(given, "response_format.json_schema.schema")
    return None


def _of_structured(structured: StructuredOutputs | None) -> list[Structure | None]:
    if structured is None:
        return []
    if structured.structural_tag is not None:
        refuse("structured_outputs.structural_tag", "is not supported; use tools")
    fields = {
        "structured_outputs.json": structured.json_,
        "structured_outputs.regex": structured.regex,
        "structured_outputs.choice": structured.choice,
        "structured_outputs.grammar": structured.grammar,
    }
    if structured.json_object:
        fields["structured_outputs.json"] = structured.json_ or {"type": "object"}
    return _of_fields(fields)


def _of_fields(fields: Mapping[str, Any]) -> list[Structure | None]:
    return [_of_field(name, value) for name, value in fields.items() if value not in (None, "")]


def _of_field(name: str, value: Any) -> Structure | None:
    kind = name.rpartition(".")[2].removeprefix("guided_")
    match kind:
        case "json" | "json_schema":
            return schema_structure(value, name)
        case "regex":
            return Structure(kind="regex", text=value, param=name)
        case "choice":
            return Structure(kind="choice", text=json.dumps(value), param=name)
        case _:
            return Structure(kind="gbnf", text=value, param=name)


def schema_structure(schema: Schema | str, param: str) -> Structure:
    """JSON that validates against a schema, which the field `param` holds.

    Raises:
        PydanticCustomError: it is too long.
    """
    text = schema if isinstance(schema, str) else json.dumps(schema)
    if (size := len(text.encode("utf-8", "replace"))) > MAX_SCHEMA_BYTES:
        refuse(
            param,
            "is {size} bytes long; at most {limit} are taken",
            size=size,
            limit=MAX_SCHEMA_BYTES,
        )
    return Structure(kind="json_schema", text=text, param=param)
