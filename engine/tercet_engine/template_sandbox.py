"""A sandbox in which a chat template ends: what it does costs, and it has so much to spend.

Jinja's sandbox keeps a template from changing what it is given. It does not keep one from looping
for a day, nor from making a text of a terabyte out of a short one. So every turn of a loop, every
call and every filter costs steps, and every text or list that is made costs its size, before it is
made where it could be much. What only ever makes large things, or things by chance, is left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final

import jinja2
import jinja2.sandbox
from jinja2 import nodes
from jinja2.runtime import LoopContext, Macro
from jinja2.visitor import NodeTransformer
from typing_extensions import override

from tercet_engine.errors import TemplateError

MAX_STEPS: Final = 2_000_000
"""About 1 s."""
MAX_MADE_CHARS: Final = 67_108_864
"""Of all texts that are made on the way to the prompt."""
_NODES_A_STEP: Final = 8
_STEPS_OF_MACRO: Final = 10
_STEPS_OF_FUNCTION: Final = 2
MAX_NUMBER_BITS: Final = 1024
_MAX_WIDTH: Final = 4096
_LEFT_OUT: Final = frozenset(
    {"center", "filesizeformat", "pprint", "random", "urlize", "wordwrap", "xmlattr"}
)
_WIDENING: Final = frozenset({"center", "expandtabs", "ljust", "rjust", "zfill", "indent", "round"})
_FORMATTING: Final = frozenset({"format", "format_map"})
_WIDTH_IN_FORMAT: Final = re.compile(r"%[^%a-zA-Z]*(\*|\d{4})|:[^{}]*(\d{4}|\{)")
_TURNS: Final = "tercet_turns"
_MADE: Final = "tercet_made"
_JOINED: Final = "tercet_joined"


class _Purse:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self._steps = MAX_STEPS
        self._chars = MAX_MADE_CHARS

    def step(self, count: int) -> None:
        self._steps -= count
        if self._steps < 0:
            message = f"the model's chat template takes more than {MAX_STEPS} steps"
            raise TemplateError(message)

    def make(self, num_chars: int) -> None:
        self._chars -= num_chars
        if self._chars < 0:
            message = f"the model's chat template makes more than {MAX_MADE_CHARS} characters"
            raise TemplateError(message)


_purse: Final[ContextVar[_Purse]] = ContextVar("purse")


@contextmanager
def full_purse() -> Iterator[None]:
    """Give one rendering what it may spend."""
    token = _purse.set(_Purse())
    try:
        yield
    finally:
        _purse.reset(token)


class BoundedSandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """The environment that chat templates are compiled for."""

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.concat = _joined  # type: ignore[method-assign]
        self.globals.pop("lipsum", None)
        self._weights: dict[str, int] = {}
        self._weight = 1
        for name, function in list(self.filters.items()):
            if name in _LEFT_OUT:
                del self.filters[name]
            else:
                self.add_filter(name, function)
        self.filters |= {_TURNS: _turns, _MADE: _made, _JOINED: _joined}

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        """Add a filter, or put one in another's place."""
        self.filters[name] = _charged(name, function)

    @override
    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        self._weights = {macro.name: _weight(macro) for macro in tree.find_all(nodes.Macro)}
        self._weight = _weight(tree)
        counted: nodes.Template = _Counting().visit(tree)
        return counted

    @override
    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        are_numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" or (operator == "*" and not are_numbers):
            message = f"the operator {operator} is not allowed on such values in a chat template"
            raise jinja2.exceptions.SecurityError(message)
        if are_numbers:
            if operator == "*" and _num_bits(left) + _num_bits(right) > MAX_NUMBER_BITS:
                message = f"numbers of more than {MAX_NUMBER_BITS} bits are not computed"
                raise jinja2.exceptions.SecurityError(message)
        elif operator == "+":
            _pay(left)
            _pay(right)
        elif isinstance(left, str | bytes):
            _check_format(left)
        return super().call_binop(context, operator, left, right)

    @override
    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        @wraps(wrapped)
        def checked(*args: Any, **kwargs: Any) -> str:
            _check_format(value.__self__)
            text: str = wrapped(*args, **kwargs)
            return text

        return checked

    @override
    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805, PYI063
        purse = _purse.get()
        if isinstance(__obj, Macro):
            weight = __self._weights.get(__obj.name, __self._weight)
            purse.step(weight + _STEPS_OF_MACRO)
            if __obj.catch_varargs or __obj.catch_kwargs:
                _made([args, kwargs])
        elif isinstance(__obj, LoopContext):
            args = (_turns(args[0], __self._weight), *args[1:]) if args else args
        else:
            purse.step(_STEPS_OF_FUNCTION)
            owner = getattr(__obj, "__self__", None)
            if isinstance(owner, str | bytes | int | float):
                args = tuple(map(_gathered, args))
                _check_call(getattr(__obj, "__name__", ""), owner, args)
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(result, str | bytes | list | tuple | dict):
            _pay(result)
        return result


class _Counting(NodeTransformer):
    """Lets loops count their turns, and lists and joined texts their size."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        weight = _weight(node)
        self.generic_visit(node)
        node.iter = _filter(_TURNS, node.iter, [nodes.Const(weight)])
        return node

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802
        return self._counted(node)

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802
        return self._counted(node)

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802
        return self._counted(node) if node.ctx == "load" else node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802
        self.generic_visit(node)
        parts = nodes.List(node.nodes, lineno=node.lineno)
        return _filter(_JOINED, parts, [])

    def _counted(self, node: nodes.Expr) -> nodes.Expr:
        self.generic_visit(node)
        is_constant = all(
            isinstance(part, nodes.Const | nodes.Pair) for part in node.iter_child_nodes()
        )
        return node if is_constant else _filter(_MADE, node, [])


def _filter(name: str, value: Any, arguments: list[nodes.Expr]) -> nodes.Filter:
    return nodes.Filter(value, name, arguments, [], None, None, lineno=value.lineno)


def _weight(node: nodes.Node) -> int:
    """What a turn through it costs, whatever of it is come by."""
    return 1 + sum(1 for _ in node.find_all(nodes.Node)) // _NODES_A_STEP


def _turns(values: Any, weight: int) -> Any:
    """What a loop runs over; a turn costs what is in the loop."""
    if isinstance(values, jinja2.Undefined):
        return values
    purse = _purse.get()
    if isinstance(values, list | tuple | dict | str | range):
        purse.step(weight * len(values))
        return values
    return _counted_turns(values, weight, purse)


def _counted_turns(values: Iterable[Any], weight: int, purse: _Purse) -> Iterator[Any]:
    for value in values:
        purse.step(weight)
        yield value


def _made(value: Any) -> Any:
    """A list, tuple or mapping. It costs all that is in it, as often as it is in it."""
    _purse.get().step(_size(value, MAX_STEPS + 1))
    return value


def _size(value: Any, most: int) -> int:
    """How many values there are in a value; at most about `most`."""
    if isinstance(value, Mapping):
        parts: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple):
        parts = value
    else:
        return 1
    size = 1
    for part in parts:
        size += _size(part, most - size)
        if size > most:
            break
    return size


def _joined(pieces: Iterable[Any]) -> str:
    texts = [str(piece) for piece in pieces]
    _purse.get().make(sum(map(len, texts)))
    return "".join(texts)


def _pay(value: Any) -> None:
    """Pay for a copy."""
    if isinstance(value, str | bytes):
        _purse.get().make(len(value))
    elif isinstance(value, list | tuple | dict):
        _purse.get().step(len(value))


def _charged(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that costs what it reads and what it makes."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        purse = _purse.get(None)
        if purse is None:  # the compiler tries what is constant
            raise jinja2.nodes.Impossible
        value, *rest = args[first:] or (None,)
        if name == "join":
            value = _gathered(value)
            args = (*args[:first], value, *rest)
        purse.step(_STEPS_OF_FUNCTION)
        _pay(value)
        _check_call(name, value, [*rest, *kwargs.values()])
        result = function(*args, **kwargs)
        _pay(result)
        return result

    return charged


def _check_call(name: str, value: Any, arguments: Iterable[Any]) -> None:
    """Refuse, or pay for, what could make much of little."""
    arguments = list(arguments)
    if name in _WIDENING and isinstance(value, str):
        widths = [abs(one) if isinstance(one, int) else len(one) for one in arguments if one]
        width = max(widths, default=0)
        _check_width(name, width)
        _purse.get().make(width * (1 + max(value.count("\n"), value.count("\t"))))
    elif name in {"to_bytes", "tojson", "round", "batch", "slice"}:
        for number in (one for one in arguments if isinstance(one, int)):
            _check_width(name, abs(number))
    elif name in _FORMATTING and isinstance(value, str | bytes):
        _check_format(value)
    elif name == "replace" and isinstance(value, str) and len(arguments) >= 2:
        old, new = str(arguments[0]), str(arguments[1])
        _purse.get().make((value.count(old)) * len(new))
    elif name == "join":
        separator = value if isinstance(value, str | bytes) else None
        values = arguments[0] if separator is not None and arguments else value
        between = separator if separator is not None else (arguments or [""])[0]
        if isinstance(values, list | tuple | str) and isinstance(between, str | bytes):
            _purse.get().make(len(between) * len(values) + sum(map(_num_chars, values)))
    elif name == "sum" and any(isinstance(one, list | tuple | str) for one in arguments[1:]):
        message = "only numbers are summed in a chat template"
        raise jinja2.exceptions.SecurityError(message)


def _check_width(name: str, width: int) -> None:
    if width > _MAX_WIDTH:
        message = f"{name} is given {width}; at most {_MAX_WIDTH} is taken in a chat template"
        raise jinja2.exceptions.SecurityError(message)


def _check_format(form: str | bytes) -> None:
    if _WIDTH_IN_FORMAT.search(form if isinstance(form, str) else form.decode("latin-1")):
        message = "a format with such a width is not taken in a chat template"
        raise jinja2.exceptions.SecurityError(message)


def _gathered(value: Any) -> Any:
    """The values of an iterator, to be looked at before they are used."""
    return list(value) if isinstance(value, Iterator) else value


def _num_chars(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes) else 8


def _num_bits(number: float) -> int:
    return number.bit_length() if isinstance(number, int) else 64
