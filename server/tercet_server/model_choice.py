"""One word of a command line that says what to serve: MODEL, or NAME=MODEL.

It needs no settings, so that what measures memory can read it without holding them.
"""

import re
from dataclasses import dataclass
from typing import Final, Self

_NAMED: Final = re.compile(r"(?P<name>\w[^=]*)=(?P<model>.+)", re.DOTALL)
"""A path that holds "=" is no such pair where it begins with "/", "./", "../" or "~"."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One model that is to be served.

    Attributes:
        model: a folder or a name on the Hub; None: the model in the package.
        name: what it is to go by; None: its own id.
    """

    model: str | None = None
    name: str | None = None

    @classmethod
    def of(cls, word: str) -> Self:
        """What a word asks for; "" asks for nothing in particular."""
        pair = _NAMED.fullmatch(word)
        return cls(pair["model"], pair["name"]) if pair else cls(word or None)
