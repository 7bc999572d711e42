"""What one rendering of a chat template may do: a number of steps, and texts up to a length.

Everything is paid for by its size. A value that holds others is counted with all that it holds, as
often as it holds it: forty lists, each twice in the next, are a thousand billion when written out.
"""

import re
from collections.abc import Iterable, Mapping, Sized
from typing import Any, Final, TypeVar

from tercet_engine.errors import TemplateError

MAX_PROMPT_CHARS: Final = 16_777_216
MAX_RANGE_STEPS: Final = 100_000
"""Numbers that `range` gives in one rendering: what else a template loops over, a client sent."""
MAX_WORK: Final = 2_000_000
"""Steps of one rendering. A conversation of a thousand turns takes about a tenth of them."""
_CHARS_OF_A_STEP: Final = 32
_MAX_WIDTH: Final = 100
"""Of indentation, and digits that a number is rounded to."""
_WIDE_FIELD: Final = re.compile(r":[^{}]*(?:\d{3,}|\{)")

T = TypeVar("T")


class Work:
    """What is left of it.

    Raises:
        TemplateError: nothing is; or a text grows too long.
    """

    def __init__(self) -> None:
        self._left = MAX_WORK
        self._numbers_left = MAX_RANGE_STEPS

    def spend(self, num_steps: int) -> None:
        """Pay for steps."""
        self._left -= num_steps
        if self._left < 0:
            message = f"the model's chat template takes more than {MAX_WORK} steps"
            raise TemplateError(message)

    def touch(self, value: T) -> T:
        """Pay for looking at a value, not at what is in those that it holds."""
        match value:
            case str():
                self.spend(1 + len(value) // _CHARS_OF_A_STEP)
            case list() | tuple() | Mapping() | range():
                self.spend(1 + len(value))
            case _:
                self.spend(1)
        return value

    def weigh(self, value: object) -> None:
        """Pay for a value and all that is in it."""
        todo = [value]
        while todo:
            value = self.touch(todo.pop())
            match value:
                case Mapping():
                    todo.extend(value.values())
                case list() | tuple():
                    todo.extend(value)

    def made(self, value: T) -> T:
        """Pay for a new value."""
        if isinstance(value, str):
            self.allow(len(value))
        self.weigh(value)
        return value

    def listed(self, values: Iterable[T]) -> list[T]:
        """What a lazy value gives."""
        found = []
        for value in values:
            self.spend(1)
            found.append(value)
        return found

    def allow(self, num_chars: int) -> None:
        """Return if a text may have so many characters."""
        if num_chars > MAX_PROMPT_CHARS:
            message = f"a text of the model's chat template exceeds {MAX_PROMPT_CHARS} characters"
            raise TemplateError(message)

    def range(self, *bounds: int) -> range:
        """Python's; nested loops over numbers would otherwise never end."""
        numbers = range(*bounds)
        self._numbers_left -= len(numbers)
        if self._numbers_left < 0:
            message = f"the model's chat template counts beyond {MAX_RANGE_STEPS} steps"
            raise TemplateError(message)
        return numbers


def growth_of(callee: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Characters of what a filter or a method of a text will make, where that may be many.

    Args:
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
    given = [*args, *kwargs.values()]
    texts = [len(value) for value in given if isinstance(value, str)]
    match callee, args:
        case "replace", (str() as text, str() as old, *_):
            return len(text) + (len(text) // max(1, len(old)) + 1) * max(texts)
        case "join", (values, *_):
            return _joined(given, values)
        case "indent", (str() as text, *_):
            _check_widths(given)
            return len(text) + (text.count("\n") + 1) * max(_MAX_WIDTH, *texts[1:], 0)
        case (("format" | "format_map"), (str() as form, *_)):
            if _WIDE_FIELD.search(form):
                message = "a format in the model's chat template is too wide"
                raise TemplateError(message)
            return len(form) + form.count("{") * max(_MAX_WIDTH, *map(_shown, given[1:]), 0)
        case (("round" | "tojson"), _):
            _check_widths(given[1:])
    return 0


def _joined(given: list[Any], values: object) -> int:
    separators = [len(value) for value in given if isinstance(value, str)]
    parts = [v for v in given if isinstance(v, list | tuple | Mapping)]
    num_chars = sum(_shown(value) for part in parts for value in part)
    length = len(values) if isinstance(values, Sized) else 0
    return num_chars + max(separators, default=0) * max(length, *map(len, parts), 0)


def _shown(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def _check_widths(values: Iterable[object]) -> None:
    for value in values:
        if isinstance(value, int | float) and not -_MAX_WIDTH <= value <= _MAX_WIDTH:
            message = f"a width in the model's chat template is over {_MAX_WIDTH}"
            raise TemplateError(message)
