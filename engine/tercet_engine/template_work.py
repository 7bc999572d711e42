"""What one rendering of a chat template may do: a number of steps, and texts up to a length.

Everything is paid for by its size. A value that holds others is counted with all that it holds, as
often as it holds it: forty lists, each twice in the next, are a thousand billion when written out.
"""

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

from tercet_engine.errors import TemplateError

MAX_PROMPT_CHARS: Final = 16_777_216
MAX_RANGE_STEPS: Final = 100_000
"""Numbers that `range` gives in one rendering: what else a template loops over, a client sent."""
MAX_WORK: Final = 2_000_000
"""Steps of one rendering. A conversation of a thousand turns takes about a tenth of them."""
_CHARS_OF_A_STEP: Final = 32

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
