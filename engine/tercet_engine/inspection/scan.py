"""Are these numbers ternary? A look at the first rows of one matrix tells, and by which grid.

Weights that are ternary already are 0 or one magnitude in every group of columns; ordinary weights
hardly ever have two magnitudes alike, so there is nothing between.
"""

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tercet_engine.checkpoint import widen
from tercet_engine.errors import CheckpointError
from tercet_engine.safetensors_file import SafetensorsFile
from tercet_engine.tensor_source import TensorSource

_ROWS: Final = 16
_GROUPS: Final = (256, 128, 64)
_NUMBERS: Final = ("BF16", "F16", "F32")
_DTYPES: Final[dict[str, type[np.generic]]] = {
    "bf16": np.uint16,
    "f16": np.float16,
    "f32": np.float32,
}
_SHARE: Final = 0.9
"""Published ternary weights may hold a few that are none."""
_ROUNDING: Final = 2.0**-7


def find_numbers(path: Path) -> tuple[str, npt.NDArray[np.float32]] | None:
    """The first rows of a projection that a folder's files hold as numbers, and their type."""
    for file_path in sorted(path.glob("*.safetensors")):
        try:
            file = SafetensorsFile(file_path)
        except CheckpointError:
            continue
        for name, info in file.tensors.items():
            is_matrix = "proj" in name and len(info.shape) == 2 and info.dtype in _NUMBERS
            if is_matrix and name.endswith(".weight"):
                return info.dtype, widen(file.array(name)[:_ROWS])
    return None


def rows_of(source: TensorSource) -> npt.NDArray[np.float32]:
    """The first rows of a matrix of plain numbers."""
    values = source.data.view(_DTYPES[source.layout])[: _ROWS * source.cols]
    return widen(values.reshape(-1, source.cols))


def ternary_group(rows: npt.NDArray[np.float32]) -> int | None:
    """Columns that share a magnitude, 0: whole rows do; None: the numbers are not ternary."""
    num_cols = rows.shape[1]
    for group in (0, *_GROUPS):
        if group == 0 or num_cols % group == 0:
            groups = np.abs(rows).reshape(-1, group or num_cols)
            if _are_ternary(groups):
                return group
    return None


def _are_ternary(groups: npt.NDArray[np.float32]) -> bool:
    largest = groups.max(axis=1, keepdims=True)
    is_zero = groups == 0
    is_alike = np.abs(groups - largest) <= largest * _ROUNDING
    return bool((is_zero | is_alike).mean() >= _SHARE and is_zero.any())
