"""The grammar of an answer that may think, call tools, or has to have a structure.

An answer is held to it from its first token, though where anything goes it allows anything: a
thought and free text are constrained in nothing but what ends them. Free text ends where a call's
opening is complete, be it a token or spelled out; from there on only a call may follow.

    start: thought? spaces answer
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tercet_engine import json_rule
from tercet_server.services.tools.formats import ToolFormat

MAX_LEADING_SPACES: Final = 4


@dataclass(frozen=True, slots=True)
class Thought:
    """The thought before an answer.

    Attributes:
        is_open: whether the answer begins in its midst.
        max_tokens: after which it must end; None: any length.
        has_tokens: whether its marks are tokens; if not, its length cannot be limited.
    """

    is_open: bool
    max_tokens: int | None
    has_tokens: bool = True


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls that an answer may make, or must.

    Attributes:
        form: how they are written.
        schemas: of the arguments, by the tool's name.
        is_required: whether the answer must be a call.
        are_parallel: whether there may be several.
        tokens: marks and special texts that are single tokens.
    """

    form: ToolFormat
    schemas: Mapping[str, Any]
    is_required: bool
    are_parallel: bool
    tokens: frozenset[str]


def lark_of(thought: Thought | None, calls: Calls | None, text_rule: str | None) -> str:
    """The grammar in llguidance's dialect of Lark.

    Args:
        thought: what may come first.
        calls: what the answer may call.
        text_rule: what the text must be; None: anything.
    """
    rules = ["%llguidance {}", r"TEXT: /(.|\n)*/"]
    start = "answer"
    if thought:
        start = f"(thought SPACES answer{_if(not thought.is_open, ' | answer')})"
        rules += [*_thought_rules(thought), rf"SPACES: /\n{{0,{MAX_LEADING_SPACES}}}/"]
    if calls:
        rules += _call_rules(calls, text_rule)
    else:
        rules.append(f"answer: {text_rule or 'TEXT'}")
    return "\n".join([f"start: {start}", *rules]) + "\n"


def _thought_rules(thought: Thought) -> list[str]:
    if not thought.has_tokens:
        opening = "" if thought.is_open else _quoted("<think>")
        return [f"thought: {opening} thinking", f"thinking[lazy]: TEXT {_quoted('</think>')}"]
    opening = "" if thought.is_open else "<think> "
    if thought.max_tokens == 0:
        return [f"thought: {opening}</think>"]
    limit = "" if thought.max_tokens is None else f"[max_tokens={thought.max_tokens}]"
    return [f"thought: {opening}thinking </think>", rf"thinking{limit}: /(.|\n)*/"]


def _call_rules(calls: Calls, text_rule: str | None) -> list[str]:
    form = calls.form
    text = text_rule or ("TEXT" if form.opening else "NO_CALL")
    rules = [
        f"answer: {_if(not calls.is_required, f'{text} | ')}calls",
        f"body: {' | '.join(f'call_{i}' for i in range(len(calls.schemas)))}",
        *(
            f"call_{index}: {_quoted(form.head(name))} {json_rule(schema)} {_quoted('}')}"
            for index, (name, schema) in enumerate(calls.schemas.items())
        ),
    ]
    if not form.opening:
        tag = "<|python_tag|>? " if "<|python_tag|>" in calls.tokens else ""
        return [*rules, f"calls: {tag}body", r"NO_CALL: /\s*([^\s{](.|\n)*)?/"]
    more = form.max_calls - 1 if calls.are_parallel else 0
    begins = "first" if not calls.is_required and text_rule is None else "opening"
    return [
        *rules,
        f"calls: {begins} inside{_if(more > 0, f' again{{0,{more}}}')}",
        f"first: spelled{_if(form.opening in calls.tokens, f' | TEXT {form.opening}')}",
        f"spelled[lazy]: TEXT {_quoted(form.opening)}",
        r'again: "\n"? opening inside',
        f"opening: {_mark(form.opening, calls.tokens)}",
        r'inside: "\n"? body "\n"? closing',
        f"closing: {_mark(form.closing, calls.tokens)}",
    ]


def _mark(mark: str, tokens: frozenset[str]) -> str:
    """A mark as its token, and spelled out."""
    return f"{mark} | {_quoted(mark)}" if mark in tokens else _quoted(mark)


def _quoted(text: str) -> str:
    return json.dumps(text)


def _if(condition: bool, text: str) -> str:  # noqa: FBT001 -- a predicate
    return text if condition else ""
