r"""How many expressions a grammar asks one text to obey at once.

A step through an intersection may cost twice as much for each expression more, and happens on the
engine's thread, where it would halt everybody: some twenty patterns take a second, thirty an hour.
llguidance bounds the states it makes, not what one costs. So intersections are counted before
anything is compiled. What is counted is never less than what there is:

- in Lark, the operators `&` and `~` (whose De Morgan's intersections are)
- in a JSON schema, `pattern` and `format` along every path through `properties`, `items` and the
  like; the members of an `allOf` and what is referred to add up, of those of an `anyOf` one counts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

MAX_OPERATORS: Final = 4
MAX_PATTERNS: Final = 8  # 30 ms

_LARK: Final = re.compile(
    r"""(?P<operator>[&~])
      | "(?:\\.|[^"\\\x00-\x1f\x7f])*"    # a string
      | (?:\#|//)[^\n]*                   # a comment
      | /(?:\\.|[^/\\])+/                 # an expression
      | <[^<>\s]+>                        # a special token
    """,
    re.VERBOSE,
)
_JSON: Final = re.compile(r"%json\s*")
_NAMED: Final = re.compile(r'"(\$id|\$anchor)"')


def find_intersection(grammar: str) -> str | None:
    """What is intersected too often, in words; None if nothing is.

    Args:
        grammar: in llguidance's own form.
    """
    for lark, alone in _parts(grammar):
        num_operators = sum(1 for match in _LARK.finditer(lark) if match["operator"])
        if num_operators > MAX_OPERATORS:
            return f"it has {num_operators} operators & and ~; at most {MAX_OPERATORS} are taken"
        for schema in (alone, *_schemas_of(lark)):
            try:
                num_patterns = _Counter(schema).count()
            except RecursionError:
                return "its schema is too deep"
            if num_patterns > MAX_PATTERNS:
                return (
                    f"up to {num_patterns} of its patterns and formats apply to one text; at most "
                    f"{MAX_PATTERNS} may"
                )
    return None


def _parts(grammar: str) -> Iterator[tuple[str, Any]]:
    """The Lark and the schema of each grammar: what begins with a brace is a list of them."""
    if not grammar.lstrip().startswith("{"):
        yield grammar, None
        return
    try:
        parts = json.loads(grammar, parse_int=float)["grammars"]  # integers may be of any length
    except (ValueError, RecursionError, LookupError, TypeError):  # who compiles it will say so
        return
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            lark = part.get("lark_grammar")
            yield lark if isinstance(lark, str) else "", part.get("json_schema")


def _schemas_of(lark: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(parse_int=float)
    for match in _JSON.finditer(lark):
        try:
            yield decoder.raw_decode(lark, match.end())[0]
        except (
            ValueError,
            RecursionError,
        ):  # in a string, or for others to say
            continue


class _Counter:
    """Counts the patterns of one schema."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._text = json.dumps(root)  # without escapes of letters
        self._counts: dict[str, int] = {}

    def count(self) -> int:
        """Of the root.

        Raises:
            RecursionError: its references lead too deep.
        """
        return self._of(self._root) if self._all() > MAX_PATTERNS else self._all()

    def _of(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 0
        number = sum(keyword in schema for keyword in ("pattern", "format"))
        number += sum(map(self._of, _list(schema, "allOf")))
        number += self._most(_list(schema, "anyOf")) + self._most(_list(schema, "oneOf"))
        if isinstance(reference := schema.get("$ref"), str):
            number += self._of_target(reference)
        return number + self._most(_inner(schema))

    def _most(self, schemas: Iterable[Any]) -> int:
        return max(map(self._of, schemas), default=0)

    def _of_target(self, reference: str) -> int:
        if reference not in self._counts:
            self._counts[reference] = 0  # a schema within itself asks for nothing more
            self._counts[reference] = self._of_all_that_it_may_mean(reference)
        return self._counts[reference]

    def _of_all_that_it_may_mean(self, reference: str) -> int:
        num_names = len(_NAMED.findall(self._text)) - ("$id" in self._root)
        is_plain = reference.startswith("#") and num_names == 0
        if is_plain and (path := _path(reference)) is not None:
            return self._of(_at(self._root, path))
        return self._all()

    def _all(self) -> int:
        return self._text.count('"pattern"') + self._text.count('"format"')


def _inner(schema: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas of what is within a value."""
    for keyword in ("properties", "patternProperties"):
        if isinstance(found := schema.get(keyword), dict):
            yield from found.values()
    yield from _list(schema, "prefixItems")
    yield from _list(schema, "items")  # as older drafts have it
    for keyword in ("items", "additionalItems", "additionalProperties"):
        yield schema.get(keyword)


def _list(schema: Mapping[str, Any], keyword: str) -> list[Any]:
    found = schema.get(keyword)
    return found if isinstance(found, list) else []


def _path(reference: str) -> list[str] | None:
    """The steps of a JSON pointer in a fragment; None: it is a name."""
    pointer = unquote(reference[1:])
    if not pointer:
        return []
    if not pointer.startswith("/"):
        return None
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer[1:].split("/")]


def _at(schema: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(schema, dict):
            schema = schema.get(step)
        elif isinstance(schema, list) and step.isdecimal() and int(step) < len(schema):
            schema = schema[int(step)]
        else:
            return None
    return schema
