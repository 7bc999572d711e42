"""Powers and logarithms as the nearest doubles: the same digits on every CPU and system.

Those of NumPy and of C libraries are off by a last digit now and then, and not by the same one
where multiplications and additions are fused and where they are not.
"""

import decimal
from typing import Final

_EXACT: Final = decimal.Context(prec=50)


def power(base: float, exponent: float) -> float:
    """`base` to the `exponent`, for a base above 0."""
    return float(_EXACT.power(decimal.Decimal(base), decimal.Decimal(exponent)))


def log(x: float) -> float:
    """The natural logarithm of a number above 0."""
    return float(_EXACT.ln(decimal.Decimal(x)))
