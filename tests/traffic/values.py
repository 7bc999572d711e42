"""Values by a JSON schema, most of them right, some wrong, none of them dull."""

import random
from collections.abc import Mapping
from typing import Any, Final

TEXTS: Final = (
    *("", "a", "hello", "Tell me a story.", "user", "toy", "tercet-tiny", "text", "function"),
    *("\x00", "\x1b[2J", "\r\nx: y", "\u202e", "a\u0301" * 40, "<|eot_id|>", "{{ messages }}"),
    *("../../etc/passwd", "file:///etc/passwd", "http://evil.example", "%00", "x" * 5000, "🜁" * 50),
)
NUMBERS: Final = (0, 1, -1, 2, 7, 0.5, 1e-320, 2**31, 2**63, 2**64, 10**40, -0.0, 1e308)
JUNK: Final = (None, True, False, [], {}, [[]], {"a": 1}, "x", 5, -3.5, [None], ["a", 1])
_MAX_DEPTH: Final = 6


class Values:
    """Makes them.

    Args:
        schemas: what references lead to.
        rng: the source of all choices.
        wrong: the share of values that are none of their schema's.
    """

    def __init__(self, schemas: Mapping[str, Any], rng: random.Random, wrong: float = 0.03) -> None:
        self._schemas = schemas
        self._rng = rng
        self._wrong = wrong

    def of(self, schema: Mapping[str, Any], depth: int = 0) -> Any:  # noqa: PLR0911 -- a case each
        """A value of a schema, as far as it is understood."""
        rng = self._rng
        if rng.random() < self._wrong:
            return rng.choice(JUNK + NUMBERS + TEXTS)
        if "$ref" in schema:
            return self.of(self._schemas[schema["$ref"].rpartition("/")[2]], depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return rng.choice(schema["enum"])
        for word in ("anyOf", "oneOf", "allOf"):
            if word in schema:
                return self.of(rng.choice(schema[word]), depth)
        kind = schema.get("type")
        kind = rng.choice(kind) if isinstance(kind, list) else kind
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer" | "number":
                return self._number(schema, is_whole=kind == "integer")
            case "boolean":
                return rng.random() < 0.5
            case "null":
                return None
        return rng.choice(JUNK)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        fields = schema.get("properties", {})
        share = 0.0 if depth > _MAX_DEPTH else 0.5 ** (1 + depth)
        found = {
            name: self.of(part, depth + 1)
            for name, part in fields.items()
            if name in required or self._rng.random() < share / 2
        }
        if isinstance(more := schema.get("additionalProperties"), Mapping):
            for _ in range(self._rng.randint(0, 2)):
                found[self._rng.choice(TEXTS)] = self.of(more, depth + 1)
        return found

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        low = min(schema.get("minItems", 0), 5)
        high = max(low, min(schema.get("maxItems", 3), 3))
        count = low if depth > _MAX_DEPTH else self._rng.randint(low, high)
        return [self.of(schema.get("items", {}), depth + 1) for _ in range(count)]

    def _string(self, schema: Mapping[str, Any]) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength", 10_000)
        text = self._rng.choice(TEXTS)[:high]
        return text + "a" * max(0, low - len(text))

    def _number(self, schema: Mapping[str, Any], *, is_whole: bool) -> float:
        low, high = schema.get("minimum", -1000), schema.get("maximum", 1000)
        if self._rng.random() < 0.3:
            return self._rng.choice([low, high])
        if is_whole:
            return self._rng.randint(int(low), int(min(high, low + 8)))
        return round(self._rng.uniform(low, min(high, low + 2)), 3)
