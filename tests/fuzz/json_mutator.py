"""Changes to JSON as a tree, so that most of what is made still parses and reaches what reads it.

Values become hostile ones or each other, keys become other keys, what is nested goes deeper; now
and then the text is damaged as bytes, or tells a key twice, which no tree can.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.fuzz.bytes_mutator import NUMBERS, damage

Path = tuple[Any, ...]

SCALARS: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2, 3, 4, 16, 64, 65, 1024, -0.0, 0.5, 1.0, 1.5, 1e-320, 1e30),
    *(*NUMBERS, -(2**31) - 1, -(2**63), -(2**64), 10**400, -(10**400), 1e308),
    *(float("nan"), float("inf"), -float("inf")),
    *("", " ", "a", "\0", "\ud800", "\udc00x", "é", "́", "\u202e", "🜁" * 9, "x" * 3000, "%s{}{{}}"),
    *([], {}, [[]], [{}], {"": None}, [None], ["a", "b"], [0.5] * 32, list(range(70))),
)


def json_mutator(
    words: Sequence[str], values: Sequence[Any] = (), *, damaged: float = 0.05
) -> Callable[[bytes, random.Random], bytes]:
    """A mutator of JSON objects.

    Args:
        words: keys that mean something, and texts.
        values: that mean something.
        damaged: how much of what is made is damaged as text.
    """
    hostile = (*SCALARS, *SCALARS, *values, *values, *words)

    def mutate(data: bytes, rng: random.Random) -> bytes:
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError):
            return damage(data, rng)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
            tree = _changed(tree, rng, words, hostile)
        try:
            text = json.dumps(tree)
        except RecursionError:
            return damage(data, rng)
        if rng.random() < damaged:
            return _damaged(text, rng)
        return text.encode()

    return mutate


def _damaged(text: str, rng: random.Random) -> bytes:
    places = [index for index, char in enumerate(text) if char in ',:"']
    match rng.randrange(4):
        case 0 if places:  # a key twice, or a value in two
            place, other = rng.choice(places), rng.choice(places)
            return (text[:place] + text[min(place, other) :]).encode()
        case 1 if places:
            place = rng.choice(places) + 1
            depth = rng.choice((10, 500, 2000, 20_000))
            opening, closing = rng.choice((("[", "]"), ('{"a":', "}")))
            return (text[:place] + opening * depth + "1" + closing * depth + text[place:]).encode()
    return damage(text.encode(), rng)


def _changed(tree: Any, rng: random.Random, words: Sequence[str], hostile: Sequence[Any]) -> Any:
    paths = list(_paths(tree))
    path = rng.choice(paths)
    old = _at(tree, path)
    kind = rng.randrange(10)
    if kind == 0 and path:
        return _without(tree, path)
    if kind == 1 and isinstance(old, dict) and words:
        return _with(tree, path, {**old, rng.choice(words): _value(tree, paths, rng, hostile)})
    if kind == 2 and path and isinstance(path[-1], str) and words:
        parent = dict(_at(tree, path[:-1]))
        value = parent.pop(path[-1])
        return _with(tree, path[:-1], {**parent, rng.choice(words): value})
    if kind == 3:
        nested = old
        for _ in range(rng.choice((1, 1, 2, 5, 40))):
            nested = [nested] if rng.random() < 0.5 else {rng.choice(words or ("a",)): nested}
        return _with(tree, path, nested)
    if kind in (4, 5):
        return _with(tree, path, _nudged(old, rng, words))
    return _with(tree, path, _value(tree, paths, rng, hostile))


def _value(tree: Any, paths: list[Path], rng: random.Random, hostile: Sequence[Any]) -> Any:
    """A hostile value, or one from elsewhere in the tree."""
    return rng.choice(hostile) if rng.random() < 0.75 else _at(tree, rng.choice(paths))


def _nudged(value: Any, rng: random.Random, words: Sequence[str]) -> Any:
    """A value like the old one."""
    match value:
        case bool():
            return not value
        case int():
            return rng.choice(
                (value + 1, value - 1, value * 2, -value, value // 2, float(value % 2**60))
            )
        case float():
            return rng.choice((value * 2, -value, value / 3, value + 1))
        case str():
            place = rng.randrange(len(value) + 1)
            piece = rng.choice((*words, *"\0 \n{}<>|%", "\ud800", value, "x" * 500))
            end = place if rng.random() < 0.7 else place + rng.randrange(5)
            return value[:place] + piece + value[end:]
        case list():
            items = list(value)
            place = rng.randrange(len(items) + 1)
            match rng.randrange(3):
                case 0:
                    items[place:place] = items[place : place + 3] * rng.choice((1, 2, 20))
                case 1:
                    rng.shuffle(items)
                case _:
                    del items[place : place + 2]
            return items
    return rng.choice(SCALARS)


def _paths(tree: Any, path: Path = (), depth: int = 0) -> Any:
    yield path
    if depth > 60:
        return
    if isinstance(tree, dict):
        for key, value in list(tree.items())[:60]:
            yield from _paths(value, (*path, key), depth + 1)
    elif isinstance(tree, list):
        for index, value in enumerate(tree[:60]):
            yield from _paths(value, (*path, index), depth + 1)


def _at(tree: Any, path: Path) -> Any:
    for step in path:
        tree = tree[step]
    return tree


def _with(tree: Any, path: Path, value: Any) -> Any:
    """The tree with another value at a path; the old one is left as it was."""
    if not path:
        return value
    copied = dict(tree) if isinstance(tree, dict) else list(tree)
    copied[path[0]] = _with(copied[path[0]], path[1:], value)
    return copied


def _without(tree: Any, path: Path) -> Any:
    parent = _at(tree, path[:-1])
    copied = dict(parent) if isinstance(parent, dict) else list(parent)
    del copied[path[-1]]
    return _with(tree, path[:-1], copied)
