"""Where a JSON object ends, found while its text arrives."""

import re
from typing import Final

_IN_STRING: Final = re.compile(r'["\\]')
_OUTSIDE: Final = re.compile(r'["{}\[\]]')


class ObjectEnd:
    """Follows the text of a JSON object from its opening brace on."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._is_escaped = False

    def push(self, text: str) -> int | None:
        """The length of what still belongs to the object, if it ends within `text`."""
        position = 0
        if self._is_escaped and text:
            self._is_escaped, position = False, 1
        while match := (_IN_STRING if self._in_string else _OUTSIDE).search(text, position):
            position = match.end()
            match match.group():
                case '"':
                    self._in_string = not self._in_string
                case "\\":
                    self._is_escaped = position == len(text)
                    position += 1
                case "{" | "[":
                    self._depth += 1
                case _:
                    self._depth -= 1
                    if self._depth == 0:
                        return position
        return None
