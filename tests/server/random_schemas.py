"""Random JSON schemas: nested, with enums, patterns, references, bounds, formats and the rest.

Mostly of what can be enforced; here and there is a keyword that often cannot be.
"""

import random
from typing import Any

PATTERNS = [
    "^[a-z]{2,5}$",
    "^(foo|bar){1,3}-[0-9]{1,3}$",
    "[0-9]{3}",
    r"^\d{4}-\d{2}$",
    "^[^ ]{1,9}$",
    r"^\w{1,8}(\.\w{1,3})?$",
]
FORMATS = ["date", "time", "date-time", "email", "ipv4", "ipv6", "uuid", "hostname", "duration"]
WORDS = ["name", "age", "big red", "naïve", "a/b", "x", "größe", "日本", 'quo"te', "tab\t", ""]
SCALARS: list[Any] = [
    True,
    False,
    None,
    0,
    -7,
    2.5,
    "yes",
    'say "hi"',
    "naïve",
    "",
    [1, 2],
    {"a": 1},
]
RARE: list[dict[str, Any]] = [
    {"uniqueItems": True},
    {"not": {"type": "string"}},
    {"contains": {"type": "integer"}},
    {"minProperties": 2},
    {"patternProperties": {"^x-": {"type": "integer"}}},
    {"dependentRequired": {"name": ["age"]}},
    {"if": {"type": "string"}, "then": {"minLength": 2}},
    {"format": "no-such-format"},
    {"pattern": "(?!a)b"},
]


class SchemaMaker:
    """Makes one schema, and its definitions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._definitions = [f"d{i}" for i in range(self._random.randint(0, 3))]
        self._may_refer = True

    def make(self) -> dict[str, Any]:
        schema = self._object(3) if self._random.random() < 0.8 else self._schema(3)
        if self._definitions:
            schema["$defs"] = {name: self._definition(name) for name in self._definitions}
        return schema

    def _definition(self, name: str) -> dict[str, Any]:
        if self._random.random() < 0.3:  # a list or a tree: it refers to itself
            own = {"anyOf": [{"type": "null"}, {"$ref": f"#/$defs/{name}"}]}
            return self._closed({"value": self._scalar(), "next": own}, ["value"])
        self._may_refer = False  # else it could consist of nothing but itself
        schema = self._schema(1)
        self._may_refer = True
        return schema

    def _schema(self, depth: int) -> dict[str, Any]:
        makers = [self._scalar, self._scalar]
        if depth > 0:
            makers += [
                lambda: self._object(depth - 1),
                lambda: self._array(depth - 1),
                lambda: self._combination(depth - 1),
            ]
        if self._may_refer and self._definitions:
            makers.append(lambda: {"$ref": f"#/$defs/{self._random.choice(self._definitions)}"})
        schema = self._random.choice(makers)()
        if self._random.random() < 0.03:
            schema |= self._random.choice(RARE)
        if self._random.random() < 0.1:
            schema |= {"title": "a title", "description": "what it is", "default": None}
        return schema

    def _scalar(self) -> dict[str, Any]:
        makers = [
            self._string,
            self._string,
            self._number,
            self._number,
            lambda: {"type": "boolean"},
            lambda: {"type": "null"},
            lambda: {"const": self._random.choice(SCALARS)},
            lambda: {"enum": self._random.sample(SCALARS, self._random.randint(1, 5))},
            lambda: {"type": self._random.sample(["string", "null", "integer", "boolean"], 2)},
        ]
        return self._random.choice(makers)()

    def _string(self) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "string"}
        match self._random.randrange(4):
            case 0:
                schema["pattern"] = self._random.choice(PATTERNS)
            case 1:
                schema["format"] = self._random.choice(FORMATS)
            case _:
                least = self._random.randint(0, 8)
                schema["minLength"] = least
                schema["maxLength"] = least + self._random.randint(0, 20)
        return schema

    def _number(self) -> dict[str, Any]:
        kind = self._random.choice(["integer", "number"])
        schema: dict[str, Any] = {"type": kind}
        low = self._random.randint(-1000, 1000)
        high = low + self._random.randint(2, 500)
        if kind == "number" and self._random.random() < 0.5:
            low, high = low + 0.25, high + 0.125
        if self._random.random() < 0.7:
            schema[self._random.choice(["minimum", "exclusiveMinimum"])] = low
        if self._random.random() < 0.7:
            schema[self._random.choice(["maximum", "exclusiveMaximum"])] = high
        if self._random.random() < 0.15:
            schema = {"type": "integer", "multipleOf": self._random.choice([2, 3, 10])}
        return schema

    def _array(self, depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array", "items": self._schema(depth)}
        least = self._random.randint(0, 2)
        if self._random.random() < 0.5:
            schema["minItems"] = least
        schema["maxItems"] = least + self._random.randint(0, 3)
        if self._random.random() < 0.2:
            schema["prefixItems"] = [self._schema(depth) for _ in range(2)]
        return schema

    def _object(self, depth: int) -> dict[str, Any]:
        names = self._random.sample(WORDS, self._random.randint(0, 4))
        properties = {name: self._schema(depth) for name in names}
        required = self._random.sample(names, self._random.randint(0, len(names)))
        if self._random.random() < 0.85:
            return self._closed(properties, required)
        schema = {"type": "object", "properties": properties, "required": required}
        if self._random.random() < 0.5:
            schema["additionalProperties"] = self._scalar()
        return schema

    def _closed(self, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def _combination(self, depth: int) -> dict[str, Any]:
        match self._random.randrange(5):
            case 0:
                return {"allOf": [self._number(), {"type": "integer", "minimum": -50}]}
            case 1:
                return {"oneOf": [self._object(depth), {"type": "null"}]}
            case _:
                return {"anyOf": [self._schema(depth) for _ in range(self._random.randint(2, 3))]}
