"""Chat templates out of a checkpoint: each ends in a prompt or in words, in time and memory."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from tercet_engine import ChatTemplate, CheckpointError, TemplateError, template_work
from tercet_engine.chat_template import BITNET_TEMPLATE
from tests.fuzz.bytes_mutator import damage
from tests.fuzz.refusals import refused
from tests.fuzz.target import Target
from tests.oracle.chat_templates import HERMES, LLAMA, THINKING
from tests.oracle.toy_engine import byte_tokenizer

_MESSAGES: Final[list[dict[str, Any]]] = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "hello"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
    },
    {"role": "tool", "name": "f", "content": "[1]"},
]
_TOOLS: Final = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
_DOUBLED: Final = (
    ("'ab'", "{% set ns.x = ns.x ~ ns.x %}"),
    ("'ab'", "{% set ns.x = ns.x + ns.x %}"),
    ("[1]", "{% set ns.x = [ns.x, ns.x] %}"),
    ("'ab'", "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}"),
    ("'aa'", "{% set ns.x = ns.x.replace('a', ns.x) %}"),
    ("'aa'", "{% set ns.x = ns.x | list | join(ns.x) %}"),
    ("9", "{% set ns.x = ns.x * ns.x %}"),
)
_BOMBS: Final = (
    *(
        f"{{% set ns = namespace(x={begin}) %}}{{% for i in range(64) %}}{double}{{% endfor %}}"
        for begin, double in _DOUBLED
    ),
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f() %}{{ f(varargs, varargs) }}{% endmacro %}{{ f(1) }}",
    "{% for a in range(90000) %}{% for b in range(9) %}{{ a }}{% endfor %}{% endfor %}",
    "{{ 'x'.ljust(10000000000) }}{{ 'x' | indent(1000000000) }}{{ '%099999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}{{ ('x,' * 9).split(',') | join('y') }}",
    "{{ messages | map('tojson', indent=99999) | join }}{{ messages | tojson(indent=100000) }}",
    "{{ messages | batch(3) | map('join', 'z') | list }}{{ (5).to_bytes(999999) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{{ raise_exception(messages | string) }}{{ strftime_now('%9999999Y') }}",
)
_PIECES: Final = (
    *("{{ ", " }}", "{% ", " %}", "{%- for m in messages %}", "{% endfor %}", "{% if tools %}"),
    *(
        "{% endif %}",
        "{% else %}",
        "| tojson",
        "| length",
        "| join(',')",
        "| list",
        "| sum",
        "| sort",
    ),
    *(
        "| map(attribute='content')",
        "| replace('a', 'bb')",
        "| indent(9)",
        "| batch(2)",
        "| string",
    ),
    *("{% set ns = namespace(x=1) %}", "{% set ns.x = ns.x + 1 %}", "{% macro f(a) %}", "| trim"),
    *("{% endmacro %}", "{{ f(1) }}", "{% generation %}", "{% endgeneration %}", "{% break %}"),
    *(
        "messages[0].content",
        ".split('e')",
        ".__class__.__mro__",
        "range(100)",
        "[1, 2]",
        "{'a': 1}",
    ),
    *("loop.index", "loop.last", "caller()", "self", "'a' ~ 'b'", " * 3", " % 7", " + 'a'", "**9"),
    *("{% call f() %}x{% endcall %}", "{% filter upper %}", "{% endfilter %}", "is defined", "-1"),
    *("9" * 5000, "{#", "#}", "\ud800", "{% raw %}", "{% include 'a' %}", "{% import 'a' as b %}"),
    *("dict(a=1)", "cycler(1, 2)", "joiner(',')", "lipsum(9)", "| round(3)", "| groupby('role')"),
    *("(" * 300, "{% if 1 %}" * 120, "not " * 900, "[" * 400, "|e" * 400),
)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Put a piece in, take one out, repeat one, or join two templates."""
    text = _text(data) if rng.random() > 0.03 else ""
    if not text:
        return damage(data, rng).decode("utf-8", "replace").encode()
    for _ in range(rng.choice((1, 1, 2, 4))):
        place = rng.randrange(len(text) + 1)
        end = place + rng.choice((0, 0, 1, 2, 5, 20))
        match rng.randrange(5):
            case 0:
                piece = text[place : place + rng.randrange(60)] * rng.choice((1, 2, 5))
            case 1:
                piece = rng.choice(_BOMBS)
            case 2:
                piece = str(rng.choice((0, 1, -1, 7, 64, 4096, 10**6, 10**12, 2**63)))
            case _:
                piece = rng.choice(_PIECES)
        text = text[:place] + piece + text[end:]
    return text[:8000].encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    """What an input says, less a character that its greatest length cut in two."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("utf-8", "ignore")


def seeds() -> Sequence[bytes]:
    """Templates of several families, and ones that would never end."""
    sound = (BITNET_TEMPLATE, HERMES, LLAMA, THINKING)
    return [text.encode() for text in (*sound, *_BOMBS)]


def open_target() -> Callable[[bytes], str]:
    """Each input is a template. It has a hundredth of what it may spend, so that more are tried."""
    template_work.MAX_WORK = 20_000  # type: ignore[misc]
    template_work.MAX_PROMPT_CHARS = 1 << 20  # type: ignore[misc]
    tokenizer = byte_tokenizer(("<think>", "<|user|>"), are_special=True)

    def run(data: bytes) -> str:
        source = _text(data)
        try:
            template = ChatTemplate(source, tokenizer, {"bos_token": "<s>"})
        except CheckpointError as error:
            return refused(error)
        try:
            template.prompt(_MESSAGES, tools=_TOOLS)
        except TemplateError as error:
            return "rendering " + refused(TemplateError(ascii(str(error))))
        return "rendered"

    return run


TARGET = Target(
    "template",
    open_target,
    mutate,
    seeds,
    guided_by=(
        "tercet_engine.chat_template",
        "tercet_engine.template_growth",
        "tercet_engine.template_sandbox",
        "jinja2.filters",
    ),
    max_bytes=8192,
    max_seconds=1.0,
)
