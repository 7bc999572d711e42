"""Rewrites a parsed chat template so that it tells of its work while it runs.

The filters that it is given here have names that no template can spell.
"""

from typing import Final, TypeVar

from jinja2 import nodes
from jinja2.visitor import NodeTransformer
from typing_extensions import override

BEGUN: Final = "(begun)"
"""Is given the weight of a body that begins."""
MADE: Final = "(made)"
"""Is given a value that was made of others, and gives it back."""
TOUCHED: Final = "(touched)"
"""Is given a value that will be looked through, and gives it back."""
_NODES_OF_A_STEP: Final = 16
_CHARS_OF_A_STEP: Final = 32

N = TypeVar("N", bound=nodes.Node)


def count_work(template: nodes.Template) -> nodes.Template:
    """The template, telling of its work."""
    counted = _Counting().visit(template)
    assert isinstance(counted, nodes.Template)
    return counted


class _Counting(NodeTransformer):
    @override
    def generic_visit(self, node: nodes.Node, *args: object, **kwargs: object) -> nodes.Node:
        node = super().generic_visit(node, *args, **kwargs)
        match node:
            case nodes.For():
                node.iter = _told(node.iter, TOUCHED)
                _tell_weight(node)
            case nodes.Macro() | nodes.CallBlock() | nodes.Block():
                _tell_weight(node)
            case nodes.Compare():
                node.expr = _told(node.expr, TOUCHED)
                for operand in node.ops:
                    operand.expr = _told(operand.expr, TOUCHED)
            case nodes.Concat() | nodes.List() | nodes.Dict():
                return _told(node, MADE)
            case nodes.Tuple(ctx="load"):
                return _told(node, MADE)
            case nodes.Getitem(arg=nodes.Slice()):
                return _told(node, MADE)
        return node


def _told(node: N, name: str) -> N | nodes.Filter:
    if isinstance(node, nodes.Const):
        return node
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno)


def _tell_weight(node: nodes.For | nodes.Macro | nodes.CallBlock | nodes.Block) -> None:
    parts = [part for child in node.body for part in (child, *child.find_all(nodes.Node))]
    chars = sum(len(part.data) for part in parts if isinstance(part, nodes.TemplateData))
    weight = 1 + len(parts) // _NODES_OF_A_STEP + chars // _CHARS_OF_A_STEP
    number = nodes.Const(weight, lineno=node.lineno)
    told = nodes.Filter(number, BEGUN, [], [], None, None, lineno=node.lineno)
    node.body.insert(0, nodes.ExprStmt(told, lineno=node.lineno))
