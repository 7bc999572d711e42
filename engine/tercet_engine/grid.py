"""On which grid are a checkpoint's weights? Asked where its numbers are plain ones.

A checkpoint that says nothing of its weights may still be ternary: every weight 0 or one magnitude,
shared by a row, or by 256, 128 or 64 columns. The largest group that all matrices agree on is
taken. A few weights may be on no grid, as quantisers leave some that matter most alone: they are
kept as they are, counted and told. More of them than that, and the model is not ternary.
"""

from dataclasses import dataclass
from typing import Final

from tercet_engine.errors import UnsupportedModel

MAX_OFF_GRID: Final = 1e-3
"""Share of a matrix's weights that may be on no grid."""


@dataclass(frozen=True, slots=True)
class TensorGrid:
    """What was counted of one matrix.

    Attributes:
        name: as in the file.
        num_weights: how many weights it has.
        off_grid: how many are on no grid, by group: 0 (a row), 256, 128 or 64 columns.
    """

    name: str
    num_weights: int
    off_grid: dict[int, int]

    @property
    def group(self) -> int | None:
        """The largest group that nearly all weights agree on; None: there is none."""
        fitting = [group for group in self.off_grid if self.fits(group)]
        return max(fitting, key=_width, default=None)

    def fits(self, group: int) -> bool:
        """Whether nearly all weights agree on that group."""
        return self._share(group) <= MAX_OFF_GRID

    def refusal(self) -> UnsupportedModel:
        """Say how far the matrix is from being ternary."""
        share = min(map(self._share, self.off_grid))
        return UnsupportedModel(
            f"{self.name} is not ternary: {share:.1%} of its weights are neither 0 nor the "
            f"magnitude that most of their group have, and at most {MAX_OFF_GRID:.1%} may be. "
            "Tercet serves models whose weights are -1, 0 and +1 times a scale"
        )

    def _share(self, group: int) -> float:
        return self.off_grid[group] / self.num_weights


def common_group(grids: list[TensorGrid]) -> int:
    """Find the largest group that all matrices agree on; 0: a whole row.

    Raises:
        UnsupportedModel: one of them is not ternary.
    """
    groups = []
    for grid in grids:
        if (group := grid.group) is None:
            raise grid.refusal()
        groups.append(group)
    return min(groups, key=_width, default=0)


def _width(group: int) -> float:
    return group or float("inf")
