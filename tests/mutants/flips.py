"""Mutants by rule: in a few small modules every comparison, operator and number is changed in turn.

    python -m tests.mutants.flips [MODULE ...]

A search and no gate: some that survive change nothing that could be told (a bound that can be met
by no value), and a person has to look which. `python -m tests.mutants.run` holds the mistakes that
must be noticed.
"""

import ast
import copy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.another_copy import PACKAGES, copy_packages
from tests.mutants import warm
from tests.mutants.run import say

TESTS: Final = {
    "block_pool": ("test_block_pool", "test_scheduler_machine"),
    "detokenizer": ("test_detokenizer",),
    "scheduler": ("test_scheduler", "test_scheduler_machine", "test_latency", "test_speculation"),
    "sequence": ("test_scheduler", "test_batch", "test_scheduler_machine", "test_core"),
    "waiting_line": ("test_waiting_line", "test_waiting_line_machine", "test_async_engine"),
}
_COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
}


def flips(source: str) -> Iterator[tuple[str, str]]:
    """Each change of a source, in words, and the source with it."""
    tree = ast.parse(source)
    for index, node in enumerate(ast.walk(tree)):
        if _is_in_assertion(tree, node):
            continue
        for number, words in enumerate(list(_changes(node))):  # to its end: all is as it was
            changed = copy.deepcopy(tree)
            twin = list(ast.walk(changed))[index]
            for step, _ in enumerate(_changes(twin)):
                if step == number:  # the generator stands where the change is made
                    line = getattr(node, "lineno", 0)
                    yield f"line {line}: {words}: {ast.unparse(twin)}", ast.unparse(changed)


def _changes(node: ast.AST) -> Iterator[str]:
    """Make each change of a node in turn; each is made while its name is out."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            node.ops = [_COMPARISONS[type(op)]()]
            yield "comparison"
            node.ops = [op]
        case ast.BoolOp(op=op):
            node.op = ast.Or() if isinstance(op, ast.And) else ast.And()
            yield "and/or"
            node.op = op
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _OPERATORS:
            node.op = _OPERATORS[type(op)]()
            yield "operator"
            node.op = op
        case ast.UnaryOp(op=ast.Not()):
            node.op, node.operand = ast.Not(), ast.UnaryOp(ast.Not(), node.operand)
            yield "not"
        case ast.Constant(value=int() as value) if not isinstance(value, bool):
            node.value = value + 1
            yield "number"
            node.value = value
        case ast.Constant(value=bool() as value):
            node.value = not value
            yield "truth"
            node.value = value


def _is_in_assertion(tree: ast.AST, node: ast.AST) -> bool:
    """Assertions and what only checks invariants look on; they do nothing."""
    return any(
        node in ast.walk(other)
        for other in ast.walk(tree)
        if isinstance(other, ast.Assert)
        or (isinstance(other, ast.FunctionDef) and other.name == "check_invariants")
    )


def main() -> int:
    """Try every flip of some modules; always 0, for it is a person who judges."""
    modules = sys.argv[1:] or list(TESTS)
    warm.warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        copy_packages(folder, warm.installed_extension())
        for module in modules:
            path = folder / PACKAGES[0].name / f"{module}.py"
            source = path.read_text()
            changes = list(flips(source))
            num_died = 0
            for words, changed in changes:
                path.write_text(changed)
                code, _ = warm.run_tests(folder, TESTS[module])
                num_died += code != warm.PASSED
                if code in {warm.PASSED, warm.TIMED_OUT}:
                    say("survived" if code == warm.PASSED else "hung    ", f"{module}, {words}")
            path.write_text(source)
            say(f"{module}: {num_died} of {len(changes)} died")
    return 0


if __name__ == "__main__":
    sys.exit(main())
