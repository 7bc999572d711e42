r"""How many expressions a grammar asks one text to obey at once.

A step through an intersection tries every alternative of one expression with every one of the
others, and happens on the engine's thread, where it would halt everybody: four patterns of fifty
alternatives take seconds, five minutes. llguidance bounds the states it makes, not what one costs;
with three its bound comes first, after 0.2 s at most. So intersections are counted before anything
is compiled. What is counted is never less than what there is:

- in Lark, the operators `&` and `~` (whose De Morgan's intersections are)
- in a JSON schema, `pattern` and `format` along every path through `properties`, `items` and the
  like; the members of an `allOf` and what is referred to add up, of those of an `anyOf` one counts,
  and of `properties` one, which patterns of names may apply to as well.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from tercet_engine.schema_formats import IMPLIED

MAX_OPERATORS: Final = 2
MAX_PATTERNS: Final = 3

# As llguidance's lexer has them, which refuses what is begun here and does not end.
_LARK: Final = re.compile(
    r"""(?P<operator>[&~])
      | "(?:\\.|[^"\\\x00-\x1f\x7f])*+"?    # a string
      | (?:\#|//)[^\n]*+                    # a comment
      | /(?:\\.|[^/\\])++/?                 # an expression
      | <[^<>\s]++>                         # a special token
    """,
    re.VERBOSE,
)
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_JSON: Final = re.compile(r"%json\s*")
_NAMED: Final = re.compile(r'"\$(?:id|anchor|dynamicAnchor|recursiveAnchor)": ["t]')
_NAMED_OF_OLD: Final = re.compile(r'"id": "')
"""In drafts 3 and 4."""
_MAX_VISITS: Final = 100_000
_IMPLIED: Final = frozenset(part["pattern"] for part in IMPLIED.values() if "pattern" in part)
"""Are of their format, which is counted."""


def find_intersection(grammar: str) -> str | None:
    """What is intersected too often, in words; None if nothing is.

    Args:
        grammar: in llguidance's own form.
    """
    for lark, alone in _parts(grammar):
        num_operators = sum(1 for match in _LARK.finditer(lark) if match["operator"])
        if num_operators > MAX_OPERATORS:
            return f"it has {num_operators} operators & and ~; at most {MAX_OPERATORS} are taken"
        if _CONTROL.search(lark):
            return "it has control characters"
        try:
            schemas = [alone, *_schemas_of(lark)]
        except (ValueError, RecursionError):
            return "what follows its %json is not JSON"
        for schema in schemas:
            try:
                num_patterns = _Counter(schema).count()
            except RecursionError:
                return "its schema is too deep or too intricate"
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
        yield decoder.raw_decode(lark, match.end())[0]


class _Counter:
    """Counts the patterns of one schema."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._text = json.dumps(root)  # without escapes of letters
        self._counts: dict[str, int] = {}
        self._open: set[str] = set()
        self._came_round = False
        self._num_visits = 0

    def count(self) -> int:
        """Of the root.

        Raises:
            RecursionError: its references lead too deep.
        """
        return self._of(self._root) if self._all() > MAX_PATTERNS else self._all()

    def _of(self, schema: Any) -> int:
        if not isinstance(schema, dict):
            return 0
        self._num_visits += 1
        if self._num_visits > _MAX_VISITS:
            raise RecursionError
        pattern = schema.get("pattern")
        number = ("format" in schema) + (isinstance(pattern, str) and pattern not in _IMPLIED)
        number += sum(map(self._of, _list(schema, "allOf")))
        number += self._most(_list(schema, "anyOf")) + self._most(_list(schema, "oneOf"))
        if isinstance(reference := schema.get("$ref"), str):
            number += self._of_target(reference)
        return number + sum(map(self._most, _inner(schema)))

    def _most(self, schemas: Iterable[Any]) -> int:
        return max(map(self._of, schemas), default=0)

    def _of_target(self, reference: str) -> int:
        if reference in self._open:  # a schema within itself asks for nothing more
            self._came_round = True
            return 0
        if reference not in self._counts:
            came_round, self._came_round = self._came_round, False
            self._open.add(reference)
            number = self._of_all_that_it_may_mean(reference)
            self._open.remove(reference)
            if self._came_round:  # so it would be more for whoever comes from elsewhere
                return number
            self._counts[reference] = number
            self._came_round = came_round
        return self._counts[reference]

    def _of_all_that_it_may_mean(self, reference: str) -> int:
        own = isinstance(self._root, dict) and isinstance(self._root.get("$id"), str)
        num_names = len(_NAMED.findall(self._text)) - own
        if re.search("draft-0[34]", self._text):
            num_names += len(_NAMED_OF_OLD.findall(self._text))
        if reference.startswith("#") and not num_names and (path := _path(reference)) is not None:
            target = _at(self._root, path)
            if isinstance(target, dict | bool):
                return self._of(target)
        return self._all()

    def _all(self) -> int:
        return self._text.count('"pattern"') + self._text.count('"format"')


def _inner(schema: Mapping[str, Any]) -> Iterator[Iterable[Any]]:
    """The schemas of what is within a value: lists of such as exclude each other."""
    for keyword in ("properties", "patternProperties"):
        if isinstance(found := schema.get(keyword), dict):
            yield found.values()
    yield [schema.get("additionalProperties")]
    # `items` is a list in older drafts.
    yield [*_list(schema, "prefixItems"), *_list(schema, "items")]
    yield [schema.get("items"), schema.get("additionalItems")]


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
