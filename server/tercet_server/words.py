"""Turns what pydantic found wrong into a sentence: what must hold, and what was given.

Used at both doors, for the requests of clients and for the settings of whoever starts the server.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

MAX_SHOWN_CHARS: Final = 60
MAX_SHOWN_BITS: Final = 128

_RULES: Final[Mapping[str, str]] = {
    "missing": "is required",
    "greater_than": "must be over {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be under {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have {min_length} or more entries",
    "too_long": "must have at most {max_length} entries",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "byte_size": "must be a size in bytes, such as 512MiB",
    "byte_size_unit": "must be a size in bytes, such as 512MiB",
}
_RULES_WITHOUT_VALUE: Final = frozenset({"missing"})


def path_of(error: ErrorDetails) -> str | None:
    """Where the error lies, as "messages[0].content"; None where it concerns the whole.

    Parts in angle brackets are the tags of our own unions, not names that a client wrote.
    """
    parts = [*error["loc"], *_named_by_validator(error)]
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        elif not (part.startswith(("<", "[")) and part.endswith((">", "]"))):
            path += f".{part[:MAX_SHOWN_CHARS]}" if path else part[:MAX_SHOWN_CHARS]
    return path or None


def sentence_of(error: ErrorDetails) -> str:
    """The error in words, to follow the name of what it concerns."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        return f"the body is not valid JSON: {context.get('error', 'it cannot be read')}"
    if kind not in _RULES:
        return str(context.get("error", error["msg"]))
    rule = _RULES[kind].format_map(_plain(context))
    return rule if kind in _RULES_WITHOUT_VALUE else f"{rule}; got {shown(error['input'])}"


def shown(value: object) -> str:
    """A value as it may stand in a message: short, whatever it was."""
    match value:
        case None:
            text = "null"
        case bool():
            text = str(value).lower()
        case str():
            text = f"'{value}'" if len(value) <= MAX_SHOWN_CHARS else f"{len(value)} characters"
        case int() | float():
            text = _digits(value)
        case list() | tuple():
            text = f"a list of {len(value)}"
        case Mapping():
            text = f"an object of {len(value)}"
        case _:
            text = f"a {type(value).__name__}"
    return text


def _digits(value: float) -> str:
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN_BITS:
        return "a very long number"  # Python refuses to write out the longest ones
    return str(value)


def _named_by_validator(error: ErrorDetails) -> list[str]:
    name = error.get("ctx", {}).get("param")
    return [name] if isinstance(name, str) else []


def _plain(context: dict[str, Any]) -> dict[str, Any]:
    """Bounds without the ".0" of a float that is whole."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in context.items()
    }
