"""The types of tensors in GGUF files, by their numbers.

Several projects number types on their own, and some numbers mean two things: an id says what a
tensor may be, and the space that it takes in the file says which (`tensors.py`).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Layout:
    """How the weights of a tensor lie in its bytes.

    Attributes:
        name: by which the loader knows it.
        block_weights: a block holds so many consecutive weights ...
        block_bytes: ... in so many bytes.
        tail_bytes: follow the last block, once for the whole tensor.
        least_tail_bytes: of the tail, what holds values; a file's last tensor may end with it.
        crosses_rows: blocks run over the flattened tensor; otherwise a row is whole blocks.
    """

    name: str
    block_weights: int
    block_bytes: int
    tail_bytes: int = 0
    least_tail_bytes: int = 0
    crosses_rows: bool = False


LAYOUTS: Final[dict[int, tuple[Layout, ...]]] = {
    0: (Layout("f32", 1, 4),),
    1: (Layout("f16", 1, 2),),
    2: (Layout("q4_0", 32, 18),),
    8: (Layout("q8_0", 32, 34),),
    14: (Layout("q6_k", 256, 210),),
    30: (Layout("bf16", 1, 2),),
    34: (Layout("tq1_0", 256, 54),),
    35: (Layout("tq2_0", 256, 66),),
    # One scale of 4 bytes after all codes, filled up to 32.
    36: (Layout("i2_s", 128, 32, tail_bytes=32, least_tail_bytes=4, crosses_rows=True),),
    42: (Layout("q2_0_g64", 64, 18), Layout("q2_0_g128", 128, 34)),
    142: (Layout("pq2_0", 128, 34),),
    143: (Layout("ptq1_0", 128, 28),),
}
"""Every type that is read. Where an id has two layouts, the space taken decides."""

_NAMES: Final = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    4: "Q4_2",
    5: "Q4_3",
    6: "Q5_0",
    7: "Q5_1",
    8: "Q8_0",
    9: "Q8_1",
    10: "Q2_K",
    11: "Q3_K",
    12: "Q4_K",
    13: "Q5_K",
    14: "Q6_K",
    15: "Q8_K",
    16: "IQ2_XXS",
    17: "IQ2_XS",
    18: "IQ3_XXS",
    19: "IQ1_S",
    20: "IQ4_NL",
    21: "IQ3_S",
    22: "IQ2_S",
    23: "IQ4_XS",
    24: "I8",
    25: "I16",
    26: "I32",
    27: "I64",
    28: "F64",
    29: "IQ1_M",
    30: "BF16",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    34: "TQ1_0",
    35: "TQ2_0",
    36: "I2_S or IQ4_NL_4_4",
    37: "I8_S or IQ4_NL_4_8",
    38: "TL1 or IQ4_NL_8_8",
    39: "TL2 or MXFP4",
    40: "NVFP4",
    41: "Q1_0",
    42: "Q2_0",
    133: "Q6_0",
    134: "IQ1_BN",
    135: "IQ2_BN",
    136: "Q8_K64",
    137: "IQ2_K",
    138: "IQ3_K",
    139: "IQ4_K",
    140: "IQ5_K",
    141: "IQ6_K",
    142: "PQ2_0 or IQ2_TN",
    143: "PTQ1_0 or IQ1_TN",
    144: "IQ4_KS",
    145: "IQ2_KS",
    146: "IQ4_KSS",
    335: "IQ2_BN_R4",
}


_LOOKUP: Final = (
    " (its tiles are cut as another file says, which does not come with it; take the I2_S file)"
)
_REASONS: Final = {38: _LOOKUP, 39: _LOOKUP}
"""Why a type that ternary models come in is not read, after "which is not supported"."""


def reason(type_id: int) -> str:
    """Say why a type is not read, where there is something to say."""
    return _REASONS.get(type_id, "")


def type_name(type_id: int) -> str:
    """Name a type for people: both names where projects disagree, and always the id."""
    return f"{_NAMES.get(type_id, 'of an unknown type')} (id {type_id})"


def supported_types() -> str:
    """List what is read, for a refusal."""
    return ", ".join(layout.name for layouts in LAYOUTS.values() for layout in layouts)
