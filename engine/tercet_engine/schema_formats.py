"""Adds to a JSON schema what its formats imply and llguidance does not ask for.

It enforces formats, but takes hostnames of any length, a 29 February in every year, the year 0000
and a 61st second. Of these, some are wrong and the others more than most programs can read.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

_YEAR: Final = "(000[1-9]|00[1-9][0-9]|0[1-9][0-9]{2}|[1-9][0-9]{3})"
_FOURTH: Final = "(0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR: Final = f"([0-9]{{2}}{_FOURTH}|{_FOURTH}00)"
_DATE: Final = (
    f"({_YEAR}-(0[13-9]|1[0-2])-[0-9]{{2}}|{_YEAR}-02-([01][0-9]|2[0-8])|{_LEAP_YEAR}-02-29)"
)
IMPLIED: Final[Mapping[str, Mapping[str, Any]]] = {
    "hostname": {"maxLength": 253},
    "date": {"pattern": f"^{_DATE}"},
    "date-time": {"pattern": f"^{_DATE}.{{7}}[0-5]"},
    "time": {"pattern": "^.{6}[0-5]"},
}
_MAPS_OF_SCHEMAS: Final = frozenset(
    {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
)
_DATA: Final = frozenset({"const", "default", "enum", "examples"})


def with_implications(text: str) -> str:
    """A schema's text with them; as it was if there is nothing to add, or if it is no JSON."""
    if not any(f'"{name}"' in text for name in IMPLIED):
        return text
    try:
        return json.dumps(_of_schema(json.loads(text)))
    except (ValueError, RecursionError):  # whoever compiles it will say so
        return text


def _of_schema(schema: Any) -> Any:
    if isinstance(schema, list):
        return list(map(_of_schema, schema))
    if not isinstance(schema, dict):
        return schema
    result = {keyword: _of_keyword(keyword, value) for keyword, value in schema.items()}
    name, parts = schema.get("format"), result.get("allOf", [])
    if isinstance(name, str) and name in IMPLIED and isinstance(parts, list):
        result["allOf"] = [*parts, IMPLIED[name]]
    return result


def _of_keyword(keyword: str, value: Any) -> Any:
    if keyword in _DATA:
        return value
    if keyword in _MAPS_OF_SCHEMAS and isinstance(value, dict):
        return {name: _of_schema(schema) for name, schema in value.items()}
    return _of_schema(value)
