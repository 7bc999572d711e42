"""Matrices of every layout, described truly or not, over bytes that end where memory does.

C++ reads them as numbers, as ternary rows and as tiles, or says what is wrong. A byte read beyond
the end kills the process.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from tercet_engine import _core
from tests.fuzz.guarded import GuardedBytes
from tests.fuzz.json_mutator import json_mutator
from tests.fuzz.refusals import refused
from tests.fuzz.target import Target

_LAYOUTS: Final = {
    "hf_packed": (4, 1),
    "i2_s": (4, 1),
    "tq1_0": (256, 54),
    "tq2_0": (256, 66),
    "q2_0_g64": (64, 18),
    "q2_0_g128": (128, 34),
    "ptq1_0": (128, 28),
    "bf16": (1, 2),
    "f16": (1, 2),
    "f32": (1, 4),
    "q8_0": (32, 34),
    "q6_k": (256, 210),
    "q4_0": (32, 18),
}
_MAX_BYTES: Final = 1 << 16
_WORDS: Final = ("layout", "rows", "cols", "num_bytes", "fill", "scale", "rope_head_dim", "row")
_VALUES: Final = (*_LAYOUTS, 4, 8, 12, 32, 64, 128, 256, 512, 2**40, 2**61, 2**62 + 1, 1e-30, -1.0)


def seeds() -> Sequence[bytes]:
    """A sound matrix of each layout; bytes of ones and others, which mean nothing to some."""
    cases = []
    for layout, (values, size) in _LAYOUTS.items():
        rows, cols = 4, max(values, 256)
        case = {
            "layout": layout,
            "rows": rows,
            "cols": cols,
            "num_bytes": 4 * cols // values * size,
        }
        for fill in (0, 1):
            cases.append({**case, "fill": fill, "scale": 0.5, "rope_head_dim": 0, "row_stride": 0})
            cases[-1] |= {
                "row": 3,
                "weight_group": (0, 64)[fill],
                "activation_group": (0, 64)[fill],
            }
        cases.append({**cases[-1], "rope_head_dim": 2, "row_stride": 2 * cols // values * size})
    return [json.dumps(case).encode() for case in cases]


def open_target() -> Callable[[bytes], str]:
    """Each input describes a matrix."""
    guarded = GuardedBytes(_MAX_BYTES)

    def run(data: bytes) -> str:
        try:
            case = json.loads(data)
            assert isinstance(case, dict)
            "".join(case).encode()  # as names are: pybind11 dies of others
            fill, num_bytes = case.pop("fill"), case.pop("num_bytes")
            content = _content(fill, min(max(0, int(num_bytes)), _MAX_BYTES))
            row, layout = case.pop("row"), case.pop("layout")
            groups = [case.pop(f"{of}_group") for of in ("weight", "activation")]
        except (ValueError, OverflowError, RecursionError, AssertionError, KeyError, TypeError):
            return "no case"
        try:
            source = _core.TensorSource(layout, guarded.holding(content), **case)
            use(source, row, *groups)
        except (ValueError, TypeError) as error:
            return refused(ValueError(ascii(error)[:1000]))
        return "read"

    return run


def use(source: _core.TensorSource, row: Any, weight_group: Any, activation_group: Any) -> None:
    """Read it in all ways."""
    assert source.row_bytes >= 0
    source.numbers(row)
    trouble = None
    try:
        source.count_off_grid(1)
    except ValueError as error:  # one number is not finite; the others can be read
        trouble = error
    packed = _core.pack_tiles(
        source,
        weight_group=weight_group,
        activation_group=activation_group,
        multiplier=1.0,
        num_threads=1,
    )
    assert packed.tiles.size > 0
    assert trouble is None or packed is not None


def _content(fill: Any, num_bytes: int) -> bytes:
    if fill == 0:
        return bytes(num_bytes)
    return random.Random(repr(fill)).randbytes(num_bytes)


TARGET = Target(
    "sources",
    open_target,
    json_mutator(
        (*_WORDS, "row_stride", "weight_group", "activation_group"), _VALUES, damaged=0.01
    ),
    seeds,
    guided_by=("tests.fuzz.targets.sources",),
    max_bytes=4096,
)
