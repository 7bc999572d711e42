"""From messages to a prompt's tokens, by the template that comes with the model.

A template is a program out of a checkpoint: `template_sandbox.py` holds it to reading what it is
given, and bounds what it does and makes. It never comes from a client.

What a client writes must not act. If a message contains the text of a special token, say
`<|eot_id|>`, that is a stretch of text to be read, not the end of a turn. So before rendering, a
mark (a private-use character which occurs nowhere in the messages or the template) is put inside
each such stretch. In the rendered text the special tokens which are still whole were written by the
template; they become tokens. The rest is text: the marks are taken out and it is encoded with
special tokens unknown. For messages which spell no special token, the common case, nothing is
marked and the result is the plain tokenisation of the rendered text.

A prompt of the BitNet family ends in a bare space ("Assistant: "). The model answers it as if the
space began the first word, so its answer is apt to start with a second one, which is not part of
it; `ChatPrompt.strip_leading_space` tells the engine to drop that one. So it is with a tokenizer
that begins every text with a space.
"""

import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import jinja2

from tercet_engine.errors import CheckpointError, TemplateError
from tercet_engine.template_sandbox import TemplateEnvironment
from tercet_engine.template_work import MAX_PROMPT_CHARS, Work
from tercet_engine.tokenizer import Tokenizer

MAX_TEMPLATE_CHARS: Final = 262_144
_MAX_REASON_CHARS: Final = 500
"""Of what a template says where it refuses messages; it may quote them."""
_MAX_TIME_FORM: Final = 128
_WIDE_TIME: Final = re.compile(r"%[^A-Za-z%]*\d")
_NOT_ASCII: Final = re.compile("[^\0-\x7f\ue000-\uf8ff]+")
"""What JSON may escape: not the marks, which must be found again."""
_FIRST_MARK: Final = "\ue000"  # the first of the private-use characters

BITNET_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{{ (message['role'] | capitalize) ~ ': ' ~ (message['content'] | trim) ~ '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
"""For checkpoints of the BitNet family that bring none: the format their authors document."""


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """A conversation, ready to be continued.

    Attributes:
        tokens: the prompt, with at most one BOS token.
        strip_leading_space: pass it on in `CompletionRequest`.
    """

    tokens: tuple[int, ...]
    strip_leading_space: bool


class ChatTemplate:
    """A model's chat format.

    Args:
        source: Jinja source, as published with the model.
        tokenizer: the model's.
        variables: what the template may refer to beside the messages, e.g. "bos_token".

    Raises:
        CheckpointError: the source is not a template, or is too long.
    """

    def __init__(
        self, source: str, tokenizer: Tokenizer, variables: Mapping[str, str] | None = None
    ) -> None:
        if len(source) > MAX_TEMPLATE_CHARS:
            message = (
                f"the chat template has {len(source)} characters; at most {MAX_TEMPLATE_CHARS}"
            )
            raise CheckpointError(message)
        environment = TemplateEnvironment()
        environment.add_filter("tojson", _to_json)
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except Exception as error:  # Python compiles what jinja2 makes of it, and can refuse it
            reason = str(error)[:_MAX_REASON_CHARS] or "it is nested too deeply"
            message = f"the chat template is not valid: {reason}"
            raise CheckpointError(message) from error
        self._source = source
        self._tokenizer = tokenizer
        self._variables = dict(variables or {})
        self._special = _SpecialText(tokenizer.special_tokens)

    @property
    def source(self) -> str:
        """The template as it was published."""
        return self._source

    @property
    def variables(self) -> Mapping[str, str]:
        """What it may refer to beside the messages: special tokens' texts by their names."""
        return self._variables

    def prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> ChatPrompt:
        """Render messages and turn them into tokens.

        Args:
            messages: each with "role" and "content", and what else the template knows.
            tools: JSON schemas of functions, for templates that know them.
            add_generation_prompt: end with the opening of the assistant's turn.
            variables: further values the template may look at; they count as client's text.

        Raises:
            TemplateError: the template refuses these messages, or cannot deal with them.
        """
        given = {"messages": messages, "tools": tools, **(variables or {})}
        try:
            mark = _unused_character([self._source, *_strings(given)])
            marked = self._special.mark(given, mark)
        except RecursionError:
            message = "the messages or tools are nested too deeply"
            raise TemplateError(message) from None
        values = {
            **self._variables,
            **marked,
            "add_generation_prompt": add_generation_prompt,
        }
        text = self._render(TemplateEnvironment.values_for(values, Work()))
        tokens = self._tokenizer.encode(text, add_special_tokens=False, mark=mark)
        strips_space = text.endswith(" ") or self._tokenizer.strips_first_space
        return ChatPrompt(tuple(self._tokenizer.with_bos(tokens)), strips_space)

    def _render(self, values: Mapping[str, Any]) -> str:
        try:
            return _join(self._template.generate(values))
        except TemplateError:
            raise
        except jinja2.TemplateError as error:
            reason = str(error)[:_MAX_REASON_CHARS]
            message = f"the model's chat template does not take these messages: {reason}"
            raise TemplateError(message) from error
        except Exception as error:  # a template can fail as any program can
            kind = type(error).__name__
            message = f"the model's chat template fails on these messages ({kind})"
            raise TemplateError(message) from error


class _SpecialText:
    """Finds, in what a client wrote, the text of special tokens.

    Found are whole tokens, whatever their case (templates change it), and the beginning of a token
    at the end of a text (the next text could bring the rest). The work is linear in the text.
    """

    def __init__(self, special: Iterable[str]) -> None:
        self._whole = {text.lower() for text in special}
        self._lengths = sorted({len(text) for text in self._whole})
        self._begun = {text[:count] for text in self._whole for count in range(1, len(text))}
        firsts = "".join(re.escape(char) for char in {text[0] for text in self._whole})
        self._first = re.compile(f"[{firsts}]" if firsts else r"(?!)", re.IGNORECASE)

    def mark(self, value: Any, mark: str) -> Any:
        """Copy a JSON-like value with the mark put behind the first character of each find."""
        match value:
            case str():
                return self._mark_text(value, mark)
            case Mapping():
                return {self.mark(k, mark): self.mark(v, mark) for k, v in value.items()}
            case list() | tuple():
                return [self.mark(item, mark) for item in value]
            case _:
                return value

    def _mark_text(self, text: str, mark: str) -> str:
        starts = [match.start() for match in self._first.finditer(text)]
        if not starts:
            return text
        end = len(text.rstrip())
        cuts = [start + 1 for start in starts if self._begins_at(text, start, end)]
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        return mark.join(pieces)

    def _begins_at(self, text: str, start: int, end: int) -> bool:
        rest = text[start : start + self._lengths[-1]].lower()
        if any(rest[:length] in self._whole for length in self._lengths):
            return True
        return end - start < self._lengths[-1] and rest[: end - start] in self._begun


def _join(pieces: Iterable[str]) -> str:
    joined: list[str] = []
    num_chars = 0
    for piece in pieces:
        num_chars += len(piece)
        if num_chars > MAX_PROMPT_CHARS:
            message = f"the rendered prompt exceeds {MAX_PROMPT_CHARS} characters"
            raise TemplateError(message)
        joined.append(piece)
    return "".join(joined)


def _strings(value: Any) -> Iterable[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield from _strings(key)
                yield from _strings(item)
        case list() | tuple():
            for item in value:
                yield from _strings(item)


def _unused_character(texts: Sequence[str]) -> str:
    if not any(_FIRST_MARK in text for text in texts):
        return _FIRST_MARK
    used = set().union(*texts)
    return next(char for char in map(chr, range(0xE000, 0x110000)) if char not in used)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 -- the order that templates know
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    """JSON as chat templates expect it: no HTML escapes, and no ASCII escapes unless asked for."""
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return _NOT_ASCII.sub(_escaped, text) if ensure_ascii else text


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    if len(form) > _MAX_TIME_FORM or _WIDE_TIME.search(form):
        message = "the chat template asks for a time in a form that is too wide"
        raise jinja2.TemplateError(message)
    return datetime.datetime.now(tz=datetime.UTC).astimezone().strftime(form)
