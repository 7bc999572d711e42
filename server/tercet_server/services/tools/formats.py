"""In what form a model calls tools: what its authors have trained, told by its chat template.

A call looks like this, OPENING and CLOSING being marks or nothing:

    OPENING {"name": "get_weather", "arguments": {"city": "Paris"}} CLOSING

A template that knows no tools, or a form that is not known here, gets the generic one: the tools
are described by us in the system message, and calls and their results are written as text.
"""

from dataclasses import dataclass
from typing import Final

MAX_CALLS: Final = 32
"""In one answer."""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """The form of a family's calls.

    Attributes:
        opening: what begins a call; "": a call is what an answer begins with, and the only one.
        closing: what ends it.
        arguments_key: under which the arguments stand.
        is_native: whether the model's template knows tools.
    """

    opening: str
    closing: str
    arguments_key: str
    is_native: bool

    @property
    def max_calls(self) -> int:
        """In one answer."""
        return MAX_CALLS if self.opening else 1

    def head(self, name: str) -> str:
        """What comes between the opening and the arguments of a call."""
        return f'{{"name": "{name}", "{self.arguments_key}": '

    def call(self, name: str, arguments: str) -> str:
        """A whole call."""
        return f"{self.opening}{self.head(name)}{arguments}}}{self.closing}"


HERMES: Final = ToolFormat("<tool_call>", "</tool_call>", "arguments", is_native=True)
"""Hermes, Qwen, Falcon and others after them."""
LLAMA: Final = ToolFormat("", "", "parameters", is_native=True)
"""Llama 3.1 and later."""
GENERIC: Final = ToolFormat("<tool_call>", "</tool_call>", "arguments", is_native=False)


def format_of(template: str) -> ToolFormat:
    """The form that a chat template teaches."""
    if "tools" not in template:
        return GENERIC
    if "<tool_call>" in template and '"arguments"' in template.replace("\\", ""):
        return HERMES
    if "<function=" not in template and '{"name": function name, "parameters":' in template:
        return LLAMA
    return GENERIC
