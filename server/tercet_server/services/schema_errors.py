"""Finds the place in a JSON schema that keeps it from being enforced, so that an error can name it.

Parts of the schema are replaced by something harmless until it is known which one is to blame:
halves of a node's sub-schemas first, then, within the one left, the same again, and at last the
node's own keywords one by one. Definitions come before what refers to them. The tries have bounds,
in number and in time; where one is reached, the place found so far is named.
"""

import asyncio
import copy
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tercet_engine import AsyncEngine, EngineOverloaded, GrammarKind, GrammarSpec, InvalidGrammar

MAX_TRIES: Final = 64
MAX_SECONDS: Final = 2.0
_DEFINITIONS: Final = ("$defs", "definitions")
_MAPS_OF_SCHEMAS: Final = (*_DEFINITIONS, "properties", "patternProperties", "dependentSchemas")
_LISTS_OF_SCHEMAS: Final = ("prefixItems", "anyOf", "oneOf", "allOf")
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_SCHEMAS: Final = ("items", "additionalProperties", "additionalItems", "contains", "if", "then")

Accepts = Callable[[Any], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a sub-schema stands: the object or list that holds it, and under which key.

    Alternatives are not replaced by `{}`, which would make all the others superfluous and so hide
    what is wrong with them.
    """

    holder: Any
    key: str | int
    path: str
    is_alternative: bool = False

    @property
    def harmless(self) -> Any:
        return {"const": f"alternative {self.key}"} if self.is_alternative else {}

    @property
    def schema(self) -> Any:
        return self.holder[self.key]


async def check_schema(engine: AsyncEngine, schema: Any, param: str) -> None:
    """Do nothing if a schema can be enforced.

    Args:
        engine: would enforce it.
        schema: JSON.
        param: the request's field that it came from.

    Raises:
        InvalidGrammar: it cannot be; `param` and the message name the place, as
            "response_format.json_schema.schema.properties.a.pattern".
    """
    spec = GrammarSpec(GrammarKind.JSON_SCHEMA, json.dumps(schema), param)
    try:
        await engine.compile_grammar(spec, keep=False)
    except InvalidGrammar as error:
        raise await located(engine, spec, error) from None


async def located(engine: AsyncEngine, spec: GrammarSpec, error: InvalidGrammar) -> InvalidGrammar:
    """The error that names the place in a schema, made of the one that names the schema."""
    if spec.kind is not GrammarKind.JSON_SCHEMA:
        return error
    refusal = error.refusal
    if refusal.place is None:
        try:
            schema = json.loads(spec.text)
            place = await path_of_fault(schema, lambda tried: _is_enforceable(engine, tried))
        except (ValueError, RecursionError):  # as text a schema may be deeper than a body can be
            return error
        refusal.place = place
    return InvalidGrammar(spec.param + refusal.place, refusal)


async def path_of_fault(schema: Any, accepts: Accepts) -> str:
    """The path from the root of a schema that is not accepted to what is to blame.

    Args:
        schema: JSON.
        accepts: whether another schema is accepted. Raises `Undecided` where it cannot say.
    """
    return await _Search(schema, accepts).run()


class Undecided(Exception):
    """A try took too long, or could not be made: the place found so far has to do."""


async def _is_enforceable(engine: AsyncEngine, schema: Any) -> bool:
    try:
        spec = GrammarSpec(GrammarKind.JSON_SCHEMA, json.dumps(schema))
        await engine.compile_grammar(spec, keep=False, may_take_long=False)
    except InvalidGrammar as error:
        if not error.refusal.is_lasting:
            raise Undecided from None
        return False
    except EngineOverloaded:
        raise Undecided from None
    return True


class _Search:
    def __init__(self, schema: Any, accepts: Accepts) -> None:
        self._root = {"": copy.deepcopy(schema)}
        self._accepts = accepts
        self._tries_left = MAX_TRIES
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + MAX_SECONDS

    async def run(self) -> str:
        place = _Place(self._root, "", "")
        try:
            while inner := await self._inner(place):
                place = inner
            return place.path + await self._keyword(place)
        except Undecided:
            return place.path

    async def _inner(self, place: _Place) -> _Place | None:
        """The sub-schema to blame, if one is; its siblings to blame are neutral afterwards."""
        for places in _groups(place):
            kept = [inner.schema for inner in places]
            _neutralise(places)
            if await self._is_accepted():
                return await self._narrowed(places, kept)
            # The fault is elsewhere too; with these out of the way it will be found alone.
        return None

    async def _narrowed(self, places: list[_Place], kept: list[Any]) -> _Place:
        """Of places of which some are to blame, one; all are neutral now."""
        while len(places) > 1:
            half = len(places) // 2
            _restore(places[half:], kept[half:])
            if await self._is_accepted():
                places, kept = places[:half], kept[:half]
            else:
                places, kept = places[half:], kept[half:]
                _neutralise(places)
        _restore(places, kept)
        return places[0]

    async def _keyword(self, place: _Place) -> str:
        """The keyword to blame, if it is one alone."""
        node = place.schema
        for keyword in list(node) if isinstance(node, dict) else []:
            if keyword in _DEFINITIONS:
                continue
            value = node.pop(keyword)
            if await self._is_accepted():
                return f".{keyword[:64]}"
            node[keyword] = value
        return ""

    async def _is_accepted(self) -> bool:
        self._tries_left -= 1
        if self._tries_left < 0 or self._clock() > self._deadline:
            raise Undecided
        return await self._accepts(self._root[""])


def _groups(place: _Place) -> Iterator[list[_Place]]:
    """The sub-schemas directly below a node: its definitions, then the others."""
    places = list(_below(place)) if isinstance(place.schema, dict) else []
    definitions = [place.schema.get(name) for name in _DEFINITIONS] if places else []
    is_definition = [any(inner.holder is held for held in definitions) for inner in places]
    for wanted in (True, False):
        group = [p for p, defines in zip(places, is_definition, strict=True) if defines is wanted]
        if group:
            yield group


def _below(place: _Place) -> Iterator[_Place]:
    node, path = place.schema, place.path
    for keyword in _MAPS_OF_SCHEMAS:
        if isinstance(held := node.get(keyword), dict):
            yield from (_Place(held, key, f"{path}.{keyword}.{key[:64]}") for key in held)
    for keyword in _LISTS_OF_SCHEMAS:
        if isinstance(held := node.get(keyword), list):
            is_alternative = keyword in _ALTERNATIVES
            for i in range(len(held)):
                yield _Place(held, i, f"{path}.{keyword}[{i}]", is_alternative)
    for keyword in _SCHEMAS:
        if isinstance(node.get(keyword), dict):
            yield _Place(node, keyword, f"{path}.{keyword}")


def _neutralise(places: list[_Place]) -> None:
    for place in places:
        place.holder[place.key] = place.harmless


def _restore(places: list[_Place], schemas: list[Any]) -> None:
    for place, schema in zip(places, schemas, strict=True):
        place.holder[place.key] = schema
