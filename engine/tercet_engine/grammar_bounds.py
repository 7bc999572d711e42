"""What a grammar may cost: the bounds that llguidance is told, and two that it does not know.

Those are known by their looks, and refused with words that say what is too large: a number's
multiples, whose automaton has as many states as the least common multiple has units, and chains of
rules, whose cost grows with their square. What else is dear to compile `grammar_trial` finds out.
"""

import math
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from tercet_engine.grammar import GrammarKind

MAX_MULTIPLE: Final = 2**17  # about 0.3 s
MAX_RULES: Final = 500  # about 2 s
LIMITS: Final[Mapping[str, int | bool]] = {
    "max_items_in_row": 2000,
    "initial_lexer_fuel": 1_000_000,  # about 20 ms
    "step_lexer_fuel": 200_000,  # about 14 ms
    "step_max_items": 50_000,  # about 3 ms
    "max_lexer_states": 16_000,  # about 10 to 30 MB
    "max_grammar_size": 500_000,
    "verbose_errors": False,
}

_ESCAPE: Final = re.compile(r"\\u00([2-7][0-9a-fA-F])")
_MULTIPLE: Final = re.compile(r'"multipleOf"\s*:\s*([-+.0-9eE]{1,400})')
_RULE: Final = re.compile(r"^[^\S\n]*[^\s:]+[^\S\n]*:", re.MULTILINE)
_WITH_RULES: Final = frozenset({GrammarKind.GBNF, GrammarKind.LARK})


def find_excess(kind: GrammarKind, text: str) -> str | None:
    """What is too large in a grammar, in words; None if nothing is."""
    num_rules = sum(1 for _ in _RULE.finditer(text)) if kind in _WITH_RULES else 0
    if num_rules > MAX_RULES:
        return f"it has {num_rules} rules; at most {MAX_RULES} are taken"
    multiple = 1
    plain = _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), text)
    for number in _MULTIPLE.findall(plain):
        multiple = math.lcm(multiple, _significand(number))
        if multiple > MAX_MULTIPLE:
            return (
                f"the least common multiple of its multipleOf is over {MAX_MULTIPLE}, trailing "
                "zeros and the decimal point left out"
            )
    return None


def _significand(number: str) -> int:
    try:
        digits = Decimal(number).normalize().as_tuple().digits
    except InvalidOperation:  # no number: who compiles it will say so
        return 1
    return int("".join(map(str, digits[:20]))) or 1
