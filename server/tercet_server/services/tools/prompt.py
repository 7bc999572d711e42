"""What a model is told of tools by us, where its own template knows nothing of them."""

import json
from collections.abc import Sequence
from typing import Final

from tercet_server.protocol.tools import NamedToolChoice, Tool, ToolChoice

_INTRODUCTION: Final = """\
You can call functions. They are described here by JSON schemas, one on each line:
<tools>
{tools}
</tools>
To call a function, write its name and its arguments as JSON between tags, like this:
<tool_call>{{"name": "function name", "arguments": {{"argument": "value"}}}}</tool_call>
The results come back between <tool_response> tags. {rule}"""


def tool_instructions(tools: Sequence[Tool], choice: ToolChoice) -> str:
    """The part of the system message that describes tools."""
    lines = "\n".join(json.dumps(tool.as_dict(), ensure_ascii=False) for tool in tools)
    match choice:
        case "required":
            rule = "Call at least one function now."
        case NamedToolChoice(function=function):
            rule = f"Call {function.name} now."
        case _:
            rule = "Call one only if it helps; otherwise answer in words."
    return _INTRODUCTION.format(tools=lines, rule=rule)


def tool_response(content: str) -> str:
    """A tool's result as text."""
    return f"<tool_response>\n{content}\n</tool_response>"
