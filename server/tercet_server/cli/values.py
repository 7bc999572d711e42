"""Parsers for the values of flags, which refuse in words: the rule, and what was given."""

import math
from collections.abc import Callable
from typing import TypeVar

import typer

Number = TypeVar("Number", int, float)


def whole(low: int, high: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers in a range."""

    def parse(text: str) -> int:
        return _parse(int, text, "a whole number", low, high)

    return parse


def number(low: float, high: float | None = None) -> Callable[[str], float]:
    """A parser of numbers in a range."""

    def parse(text: str) -> float:
        return _parse(float, text, "a number", low, high)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """A parser of words out of a list."""

    def parse(text: str) -> str:
        if text not in words:
            message = f"must be {', '.join(words[:-1])} or {words[-1]}; got '{text}'"
            raise typer.BadParameter(message)
        return text

    return parse


def is_from_environment(context: typer.Context, name: str) -> bool:
    """Whether a parameter's value was read from a variable, over which the command line wins."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "ENVIRONMENT"


def _parse(
    kind: Callable[[str], Number], text: str, what: str, low: float, high: float | None
) -> Number:
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    try:
        value = kind(text)
    except ValueError:
        value = kind("-1")  # below every range
    if not low <= value <= (math.inf if high is None else high):
        message = f"must be {what} {bounds}; got '{text}'"
        raise typer.BadParameter(message)
    return value
