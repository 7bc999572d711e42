"""How long a text gets that a template makes, told before it is made.

Most of what a template does makes no more than it was given. What pads, repeats, joins or fills in
can make much out of little, and the memory would be gone before the result could be looked at.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, Final

from tercet_engine.errors import TemplateError
from tercet_engine.template_work import Work

_MAX_WIDTH: Final = 100
"""Of indentation and of fields in formats, and digits that a number is rounded to."""
_WIDE_FIELD: Final = re.compile(r":[^{}]*(?:\d{3,}|\{)")
_WIDE_OLD_FIELD: Final = re.compile(r"%(?:\([^)]*\))?[-+ #0]*(?:\d{3}|\d*\.\d{3}|\d*\.?\*)")
_CHARS_OF_A_NUMBER: Final = 330
"""The largest float has 309 digits before its point."""
_CHARS_OF_A_WORD: Final = 8
_CHARS_OF_AN_ESCAPE: Final = 10
"""As in `\\U000e0001`: of what is quoted, so long can each character get."""


def growth_of(
    work: Work, callee: object, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None
) -> int:
    """Characters of what a filter or a method of a text will make, where that may be many.

    Args:
        work: pays for looking.
        callee: the filter's name, or what is called.
        args: the filter's value first; a method's text is its own.
        kwargs: further ones.

    Raises:
        TemplateError: a number among them is too large.
    """
    method = getattr(callee, "__wrapped__", callee)  # `format` comes wrapped by the sandbox
    if isinstance(text := getattr(method, "__self__", None), str):
        callee, args = getattr(method, "__name__", ""), (text, *args)
    if not isinstance(callee, str):
        return 0
    given = [*args, *(kwargs or {}).values()]
    texts = [len(value) for value in given if isinstance(value, str)]
    num_chars = 0
    _check(work, callee, given)
    match callee, args:
        case "replace", (str() as text, str() as old, *_):
            num_chars = len(text) + (len(text) // max(1, len(old)) + 1) * max(texts)
        case "join", (values, *_):
            num_chars = _joined(given, values)
        case "indent", (str() as text, *_):
            num_chars = len(text) + (text.count("\n") + 1) * max(_MAX_WIDTH, *texts[1:], 0)
        case "format", (str() as form, *_) if not hasattr(method, "__self__"):  # the filter
            num_chars = old_format_growth(work, form, given[1:])
        case (("format" | "format_map"), (str() as form, *_)):
            if _WIDE_FIELD.search(form):
                _refuse("a format in the model's chat template is too wide")
            num_chars = _filled(work, form, form.count("{"), given[1:], quotes="!" in form)
        case (("batch" | "center" | "ljust" | "rjust" | "zfill"), _):
            num_chars = sum(texts) + sum(_numbers(given))
        case "expandtabs", (str() as text, *_):
            num_chars = len(text) + text.count("\t") * max(8, *_numbers(given), 0)
        case "tojson", (value, *_) if len(given) > 1:
            num_chars = sum(depth * _MAX_WIDTH for depth in _depths(value))
    return num_chars


def _check(work: Work, name: str, given: list[Any]) -> None:
    match name, given:
        case "indent", _:
            _check_widths(given[1:], longest=None)
        case (("round" | "tojson"), _):
            _check_widths(given[1:])
        case (("list" | "sort"), [str() as text, *_]):
            work.spend(len(text))
        case (("split" | "rsplit" | "splitlines"), [str() as text, *options]):
            work.spend(_num_pieces(text, options))


def _num_pieces(text: str, given: list[Any]) -> int:
    """Of a text that becomes a list, which is many times as large as the text."""
    separators = [value for value in given if isinstance(value, str) and value]
    num_pieces = text.count(separators[0]) if separators else len(text) // _CHARS_OF_A_WORD
    return min([num_pieces, *(number for number in _numbers(given) if number > 0)])


def _numbers(values: Iterable[object]) -> list[int]:
    return [value for value in values if isinstance(value, int)]


def old_format_growth(work: Work, form: str, values: object) -> int:
    """Characters of `form % values` at most.

    Raises:
        TemplateError: a field is too wide, or takes its width from a value.
    """
    if _WIDE_OLD_FIELD.search(form):
        _refuse("a format in the model's chat template is too wide")
    is_many = isinstance(values, list | tuple | Mapping)
    return _filled(work, form, form.count("%"), values if is_many else [values], quotes=True)


def _filled(work: Work, form: str, num_fields: int, values: Any, *, quotes: bool) -> int:
    work.weigh(values)
    parts = values.values() if isinstance(values, Mapping) else values
    longest = max((_written(part, quotes=quotes) for part in parts), default=0)
    longest = max(longest, _written(values, quotes=True) if isinstance(values, Mapping) else 0)
    return len(form) + num_fields * (_MAX_WIDTH + longest)


def _written(value: object, *, quotes: bool) -> int:
    """Characters of a value as a format writes it."""
    if isinstance(value, str):
        return len(value) * (_CHARS_OF_AN_ESCAPE if quotes else 1)
    num_chars = 0
    todo = [value]
    while todo:
        match todo.pop():
            case str() as text:
                num_chars += 4 + len(text) * _CHARS_OF_AN_ESCAPE
            case Mapping() as mapping:
                num_chars += 4
                todo.extend(mapping.keys())
                todo.extend(mapping.values())
            case list() | tuple() as values:
                num_chars += 4
                todo.extend(values)
            case int() as number:
                num_chars += number.bit_length() // 3 + _CHARS_OF_A_NUMBER
            case _:
                num_chars += _CHARS_OF_A_NUMBER
    return num_chars


def _depths(value: object) -> Iterator[int]:
    todo = [(1, value)]
    while todo:
        depth, value = todo.pop()
        yield depth
        if isinstance(value, Mapping):
            todo.extend((depth + 1, part) for part in value.values())
        elif isinstance(value, list | tuple):
            todo.extend((depth + 1, part) for part in value)


def _joined(given: list[Any], values: object) -> int:
    separators = [len(value) for value in given if isinstance(value, str)]
    parts = [v for v in given if isinstance(v, list | tuple | Mapping)]
    num_chars = sum(_shown(value) for part in parts for value in part)
    length = len(values) if isinstance(values, Sized) else 0
    return num_chars + max(separators, default=0) * max(length, *map(len, parts), 0)


def _shown(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def _check_widths(values: Iterable[object], longest: int | None = _MAX_WIDTH) -> None:
    for value in values:
        match value:
            case int() | float() if not -_MAX_WIDTH <= value <= _MAX_WIDTH:
                _refuse(f"a width in the model's chat template is over {_MAX_WIDTH}")
            case str() if longest is not None and len(value) > longest:
                _refuse(f"what the model's chat template writes JSON with exceeds {longest}")
            case list() | tuple():
                _check_widths(value, longest)


def _refuse(message: str) -> None:
    raise TemplateError(message)
