"""The arguments of a call as an object, for APIs that do not tell them as text.

What a model writes is JSON, but not all JSON is a value that can be told on: numbers may be beyond
every float, and an escape may stand for half a character. And it may be cut off.
"""

import json
import re
import sys
from typing import Any, Final

from pydantic_core import from_json

_MAX_DIGITS: Final = 1000
_ESCAPE: Final = re.compile(
    r"(\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
"""A backslash, or a character in two halves; else half a character."""


def arguments_object(text: str) -> dict[str, Any]:
    """The object that a text of JSON stands for, as far as it goes."""
    try:
        value = json.loads(
            _ESCAPE.sub(lambda found: found[1] or r"\ufffd", text),
            parse_float=_finite,
            parse_int=_whole,
        )
    except (ValueError, RecursionError):
        value = _beginning(text)
    return value if isinstance(value, dict) else {}


def _beginning(text: str) -> Any:
    """What a text that is cut off holds up to there."""
    try:
        value = from_json(text, allow_partial=True)
        return json.loads(json.dumps(value), parse_constant=_finite)
    except (ValueError, RecursionError):
        return None


def _finite(digits: str) -> float:
    """The nearest number there is."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(digits)))


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else _finite(digits)
