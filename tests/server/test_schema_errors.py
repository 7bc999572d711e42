"""What in a schema cannot be enforced is found and named."""

from typing import Any

import pytest

from tercet_engine import AsyncEngine, Grammar, InvalidGrammar
from tercet_server.services.schema_errors import (
    MAX_TRIES,
    Undecided,
    check_schema,
    path_of_fault,
)
from tests.server.conftest import Service

TEXT = {"type": "string"}
BAD = {"type": "string", "pattern": "(?=a)"}


def an_object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ({"type": "object", "not": {}}, ".not"),
        ({"type": "strng"}, ".type"),
        (an_object(a=TEXT, b=BAD, c=TEXT), ".properties.b.pattern"),
        (
            an_object(a=an_object(b={"type": "array", "items": BAD})),
            ".properties.a.properties.b.items.pattern",
        ),
        (an_object(a={"anyOf": [TEXT, TEXT, BAD]}), ".properties.a.anyOf[2].pattern"),
        (an_object(a={"oneOf": [{"type": "null"}, BAD]}), ".properties.a.oneOf[1]"),
        (
            {"$defs": {"x": BAD, "y": TEXT}, **an_object(a={"$ref": "#/$defs/x"})},
            ".$defs.x.pattern",
        ),
        (an_object(a={"$ref": "http://elsewhere/x.json"}), ".properties.a.$ref"),
        (an_object(a={"type": "string", "format": "no-such"}), ".properties.a.format"),
        ({"type": "object", "additionalProperties": BAD}, ".additionalProperties.pattern"),
    ],
)
async def test_the_place_of_the_fault_is_named(
    toy_engine: AsyncEngine, schema: Any, path: str
) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        await check_schema(toy_engine, schema, "where")
    assert caught.value.param == f"where{path}"
    assert str(caught.value).startswith(f"where{path} cannot be")


async def test_of_several_faults_one_is_named(toy_engine: AsyncEngine) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        await check_schema(toy_engine, an_object(a=BAD, b=TEXT, c=BAD, d=BAD), "where")
    assert caught.value.param in {f"where.properties.{name}.pattern" for name in "acd"}


@pytest.mark.parametrize("depth", [100, 300, 400, 600, 5000])
async def test_a_schema_that_is_too_deep_to_be_searched_is_refused(
    service: Service, depth: int
) -> None:
    schema = '{"properties":{"a":' * depth + '{"pattern":"("}' + "}}" * depth
    response = await service.chat(json_schema=schema)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_grammar")


async def test_a_schema_that_can_be_enforced_passes(toy_engine: AsyncEngine) -> None:
    await check_schema(toy_engine, an_object(a=TEXT), "where")


async def test_the_tries_are_few_for_many_properties_and_never_beyond_the_bound() -> None:
    schema = an_object(**{f"p{i}": TEXT for i in range(1000)}, bad=BAD)
    tries = []

    async def accepts(tried: Any) -> bool:
        tries.append(tried)
        return "pattern" not in str(tried)

    assert await path_of_fault(schema, accepts) == ".properties.bad.pattern"
    assert len(tries) < 20

    async def never(tried: Any) -> bool:
        tries.append(tried)
        return False

    tries.clear()
    assert await path_of_fault({str(i): 1 for i in range(1000)}, never) == ""
    assert len(tries) <= MAX_TRIES


async def test_the_schema_itself_is_left_as_it_was(toy_engine: AsyncEngine) -> None:
    schema = an_object(a=BAD)
    with pytest.raises(InvalidGrammar):
        await check_schema(toy_engine, schema, "where")
    assert schema == an_object(a={"type": "string", "pattern": "(?=a)"})


async def test_where_a_try_cannot_be_made_the_place_found_so_far_is_named() -> None:
    num_tries = 0

    async def accepts(schema: Any) -> bool:
        nonlocal num_tries
        num_tries += 1
        if num_tries > 2:
            raise Undecided
        return "pattern" not in str(schema)

    schema = an_object(a=TEXT, b=an_object(c=BAD))
    assert await path_of_fault(schema, accepts) == ".properties.b"


async def test_the_place_is_sought_once(
    toy_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_tries = 0
    compile_grammar = toy_engine.compile_grammar

    async def counting(*args: Any, **options: Any) -> Grammar:
        nonlocal num_tries
        num_tries += 1
        return await compile_grammar(*args, **options)

    monkeypatch.setattr(toy_engine, "compile_grammar", counting)
    told = []
    for param in ("response_format", "tools[0]"):
        with pytest.raises(InvalidGrammar) as caught:
            await check_schema(toy_engine, an_object(a=TEXT, unlike_others=BAD), param)
        told.append((caught.value.param, num_tries))

    (first, num_first), (second, num_both) = told
    assert first == "response_format.properties.unlike_others.pattern"
    assert second == "tools[0].properties.unlike_others.pattern"
    assert num_first > 1
    assert num_both == num_first + 1
