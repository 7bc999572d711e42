"""A JSON schema as a rule of a Lark grammar, for whoever writes grammars that hold schemas."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tercet_engine.schema_formats import with_implications

_STYLE: Final[Mapping[str, Any]] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""On one line, as models have seen calls of tools. A schema's own options do not count: they could
ask to pass over what cannot be enforced."""


def json_rule(schema: Any) -> str:
    """What a rule of the grammar must be to stand for JSON that validates."""
    if isinstance(schema, bool):
        schema = {} if schema else {"not": {}}
    text = with_implications(json.dumps(schema))
    return f"%json {json.dumps({**json.loads(text), 'x-guidance': _STYLE})}"
