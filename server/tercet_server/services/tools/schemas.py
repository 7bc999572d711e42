"""The schema that a tool's arguments are held to: the client's, as far as it goes, and an object.

Where a schema says nothing of properties that it does not name, none are generated: whoever lists
properties means those, and a weak model would fill the answer with others. What is generated is
valid by the client's schema in either case.
"""

from typing import Any, Final

_OBJECT: Final = {"type": "object"}
_COMBINING: Final = frozenset(
    {
        *("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else"),
        *("additionalProperties", "patternProperties", "unevaluatedProperties"),
        *("dependentSchemas", "minProperties"),
    }
)
_MAPS: Final = ("properties", "$defs", "definitions")


def enforced_schema(parameters: dict[str, Any] | None) -> dict[str, Any]:
    """The schema for the arguments of a tool with these parameters."""
    if not parameters:
        return {**_OBJECT, "properties": {}, "additionalProperties": False}
    schema = parameters if _mixes(parameters) else _closed(parameters)
    return schema if "type" in schema or _COMBINING & schema.keys() else {**_OBJECT, **schema}


def _mixes(schema: Any) -> bool:
    """Whether schemas are put together somewhere, so that closing one could empty the whole."""
    if isinstance(schema, list):
        return any(map(_mixes, schema))
    if not isinstance(schema, dict):
        return False
    if "allOf" in schema or ("$ref" in schema and len(schema) > 1):
        return True
    is_mixed = "properties" in schema and bool(schema.keys() & {"anyOf", "oneOf", "if"})
    return is_mixed or any(map(_mixes, schema.values()))


def _closed(schema: Any) -> Any:
    """A copy in which objects that name their properties have no others."""
    if not isinstance(schema, dict):
        return schema
    closed = {keyword: _closed_below(keyword, value) for keyword, value in schema.items()}
    named, required = schema.get("properties"), schema.get("required", [])
    is_plain = isinstance(named, dict) and isinstance(required, list)
    if is_plain and not _COMBINING & schema.keys() and set(map(str, required)) <= set(named or ()):
        closed["additionalProperties"] = False
    return closed


def _closed_below(keyword: str, value: Any) -> Any:
    if keyword in _MAPS and isinstance(value, dict):
        return {name: _closed(schema) for name, schema in value.items()}
    if keyword in {"items", "additionalProperties"}:
        return _closed(value)
    if keyword in {"prefixItems", "anyOf", "oneOf"} and isinstance(value, list):
        return [_closed(schema) for schema in value]
    return value
