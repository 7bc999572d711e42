"""The sandbox in which a chat template runs: nothing to reach, nothing to change, an end to it.

A template is a program that strangers wrote. Jinja's immutable sandbox keeps it from Python's
inside and from changing what it is given; it does not keep it from running for ever, or from
making values that fill the memory. So every template is rewritten before it is compiled: whatever
repeats (a loop's body, a macro, a block) says so as it begins, and whatever makes a value of others
has it weighed. One rendering has so much work to spend; it is counted, not timed, so the same
messages are refused on every machine or on none.

    {% for a in b %}...     {% for a in b|(touched) %}{% do (begun)(weight) %}...
    a ~ b    [a, b]         (a ~ b)|(made)    [a, b]|(made)

What could make a large value at once (widths, repetitions, formats) has its length told beforehand
by `template_growth.py`. What is refused outright is not known to be in any model's template.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import jinja2
import jinja2.sandbox
from jinja2 import nodes, pass_context
from jinja2.ext import Extension, loopcontrols
from jinja2.filters import make_attrgetter
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.utils import Namespace
from typing_extensions import override

from tercet_engine.errors import TemplateError
from tercet_engine.template_growth import growth_of, old_format_growth
from tercet_engine.template_nodes import BEGUN, MADE, TOUCHED, count_work
from tercet_engine.template_work import Work

_STRINGIFY: Final = frozenset({"join", "string", "tojson", "replace", "trim", "upper", "lower"})
"""Filters that write out whatever they are given."""
_WORK: Final = "(work)"
"""Where a rendering's context holds its work; no template can spell it."""
_FILTERS: Final = frozenset(
    {
        *("abs", "attr", "batch", "capitalize", "center", "count", "d", "default", "dictsort"),
        *("e", "escape", "filesizeformat", "first", "float", "forceescape", "format", "groupby"),
        *("indent", "int", "items", "join", "last", "length", "list", "lower", "map", "max"),
        *("min", "reject", "rejectattr", "replace", "reverse", "round", "safe", "select"),
        *("selectattr", "slice", "sort", "string", "title", "trim", "truncate", "unique"),
        *("upper", "urlencode", "wordcount"),
    }
)
"""Those whose work and whose results are bounded by what they are given."""
_GLOBALS: Final = frozenset({"cycler", "dict", "joiner"})
_TEXT_METHODS: Final = frozenset(
    {
        *("capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find"),
        *("format", "index", "isalnum", "isalpha", "isascii", "isdecimal", "isdigit"),
        *("isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle"),
        *("isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix"),
        *("removesuffix", "replace", "rfind", "rindex", "rjust", "rpartition", "rsplit"),
        *("rstrip", "split", "splitlines", "startswith", "strip", "swapcase", "title"),
        *("upper", "zfill"),
    }
)
"""Those that make bytes or tables of characters are not among them."""
_STEPS_OF_A_CALL: Final = 8
"""A macro takes as long as so many steps of a loop, before it has done anything."""
_CHARS_OF_A_STEP: Final = 32
_MAX_NUMBER: Final = 2**63
"""Numbers may not grow beyond: the longest take minutes to multiply."""
_MAX_EXPONENT: Final = 64


class TemplateEnvironment(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """What templates are compiled for. `values_for` gives each rendering its work."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[loopcontrols, _GenerationBlocks],
            autoescape=False,
            finalize=_finalize,
        )
        self.filters = {
            **{name: _refused(name) for name in self.filters},
            **{name: _weighed(self, name) for name in _FILTERS},
            BEGUN: _begun,
            MADE: _made,
            TOUCHED: _touched,
            "sum": _sum,
        }
        tests: Mapping[str, Any] = self.tests
        self.tests = {name: _paid(self, test) for name, test in tests.items()}
        self.globals = {name: self.globals[name] for name in _GLOBALS}
        self.globals["namespace"] = _Namespace

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Let templates use a filter whose result is bounded by what it is given."""
        self.filters[name] = _weighed(self, name, function)

    @staticmethod
    def values_for(given: Mapping[str, Any], work: Work) -> dict[str, Any]:
        """What one rendering is given: the values, and the work that it may do."""
        return {**given, "range": work.range, _WORK: work}

    @override
    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return count_work(super()._parse(source, name, filename))

    @override
    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if isinstance(obj, str) and attr not in _TEXT_METHODS:
            return False
        if isinstance(obj, int | float | bytes):
            return False  # numbers become bytes of any length
        return super().is_safe_attribute(obj, attr, value)

    @override
    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, PYI063 -- as Jinja names them
        work = _work(__context)
        work.spend(_STEPS_OF_A_CALL)
        work.touch(getattr(__obj, "__self__", None))
        for arg in args:
            work.touch(arg)
        if isinstance(__obj, Macro) and (__obj.catch_kwargs or __obj.catch_varargs):
            work.weigh([*args, *kwargs.values()])
        work.allow(growth_of(work, __obj, args, kwargs))
        result = super().call(__context, __obj, *args, **kwargs)
        return work.made(result)

    @override
    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        work = _work(context)
        work.touch(left)
        work.touch(right)
        _check_operands(work, operator, left, right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and abs(result) > _MAX_NUMBER:
            message = "a number in the chat template grows too large"
            raise jinja2.exceptions.SecurityError(message)
        return work.made(result)


def _check_operands(work: Work, operator: str, left: Any, right: Any) -> None:
    """Return if the result will be of a size that can be looked at."""
    match operator, left, right:
        case "*", (str() | list() | tuple()), int():
            num_parts = len(left) * max(0, right)
        case "*", int(), (str() | list() | tuple()):
            num_parts = len(right) * max(0, left)
        case "%", str(), _:
            num_parts = old_format_growth(work, left, right)
        case "**", _, (int() | float()) if abs(right) <= _MAX_EXPONENT:
            return
        case "**", _, _:
            message = f"a power in the chat template is over {_MAX_EXPONENT}"
            raise jinja2.exceptions.SecurityError(message)
        case _:
            return
    work.allow(num_parts)
    work.spend(num_parts // (1 if isinstance(left, list | tuple) else _CHARS_OF_A_STEP))


class _GenerationBlocks(Extension):
    """`{% generation %}` marks for those who train what an assistant said; here it does nothing."""

    tags = {"generation"}  # noqa: RUF012 -- as jinja2 declares it

    @override
    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Namespace(Namespace):
    """Jinja's, whose text is short however namespaces are nested in each other."""

    @override
    def __repr__(self) -> str:
        return "<namespace>"


def _work(context: Context) -> Work:
    work = context.parent.get(_WORK)
    if not isinstance(work, Work):
        message = "a chat template is used without bounds"
        raise TemplateError(message)
    return work


@pass_context
def _begun(context: Context, weight: int) -> None:
    _work(context).spend(weight)


@pass_context
def _made(context: Context, value: Any) -> Any:
    return _work(context).made(value)


@pass_context
def _touched(context: Context, value: Any) -> Any:
    return _work(context).touch(value)


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    work = _work(context)
    if not isinstance(value, str):
        work.weigh(value)
    return work.touch(value)


@pass_context
def _sum(context: Context, values: Any, attribute: Any = None, start: Any = 0) -> Any:
    """Jinja's, by additions that are paid for: sums of lists grow."""
    environment = context.environment
    part_of = make_attrgetter(environment, attribute) if attribute is not None else _itself
    total = start
    for value in values:
        total = environment.call_binop(context, "+", total, part_of(value))  # type: ignore[attr-defined] # the sandbox's
    return total


def _itself(value: Any) -> Any:
    return value


def _paid(environment: jinja2.Environment, test: Callable[..., Any]) -> Callable[..., Any]:
    """A test that pays for looking at what it is given."""

    @pass_context
    def call(context: Context, *args: Any) -> Any:
        for arg in args:
            _work(context).touch(arg)
        return test(*_first_argument(environment, test, context), *args)

    return call


def _first_argument(
    environment: jinja2.Environment, function: Callable[..., Any], context: Context
) -> tuple[Any, ...]:
    """What Jinja gives a filter or test before its value."""
    wanted = getattr(getattr(function, "jinja_pass_arg", None), "name", "")
    given = {"context": context, "eval_context": context.eval_ctx, "environment": environment}
    return (given[wanted],) if wanted else ()


def _weighed(
    environment: jinja2.Environment, name: str, function: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """A filter that pays for what it is given and for what it makes of it; never a lazy one."""
    inner = function or environment.filters[name]

    @pass_context
    def call(context: Context, value: Any, *args: Any, **kwargs: Any) -> Any:
        work = _work(context)
        work.touch(value)
        for arg in args:
            work.touch(arg)
        if name in _STRINGIFY:
            work.weigh([value, *args])
        work.allow(growth_of(work, name, (value, *args), kwargs))
        first = _first_argument(environment, inner, context)
        result = inner(*first, value, *args, **kwargs)
        return work.made(work.listed(result) if isinstance(result, Iterator) else result)

    return call


def _refused(name: str) -> Callable[..., Any]:
    """A filter of Jinja's that is not for templates: told where it is used, not when it is read."""

    @pass_context
    def call(*_args: Any, **_kwargs: Any) -> Any:
        message = f"the filter {name} is not allowed in a chat template"
        raise jinja2.exceptions.SecurityError(message)

    return call
